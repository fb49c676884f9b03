"""A database as it was at a moment: a base backup of PostgreSQL, brought forward by its archived log.

A server of its own does it, on a copy, reachable by a Unix socket of this account alone. What it gives is
dumped as any other backup. See "Continuous Archiving and Point-in-Time Recovery" in PostgreSQL's manual.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import OperationalError

from fits_dagster.backup.programs import BackupError, server_program

__all__ = ["server_as_of"]

_LOOK_S: Final = 0.2
#: The end of the server's log that is worth an error message, characters.
_LAST_WORDS: Final = 800
_STOP_S: Final = 60.0
#: Accounts under which PostgreSQL runs where this process is root's, which it refuses.
_ACCOUNTS: Final = ("postgres", "pgserver")
_CONFIGURATION: Final = """
hot_standby = off
archive_mode = off
fsync = off
listen_addresses = ''
port = 5432
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
restore_command = 'if [ -e "{log}/%f.gz" ]; then gzip -dc "{log}/%f.gz" > "%p"; else cp "{log}/%f" "%p"; fi'
recovery_target_time = '{moment:%Y-%m-%d %H:%M:%S.%f}+00'
recovery_target_action = promote
"""


@contextmanager
def server_as_of(
    base: Path, log: Path, moment: datetime, *, tell: Callable[[float], None] = lambda _: None
) -> Iterator[URL]:
    """Run a server with the databases as they were at a moment, for the time of the context.

    Parameters
    ----------
    base
        Directory of a base backup that ended before the moment, as ``pg_basebackup`` makes it in plain form.
        It is copied to temporary files, and left as it is.
    log
        Directory with the segments that the server archived since then, as they are or with ``.gz``.
    moment
        Up to which changes are taken over.
    tell
        Called now and then with the seconds that it has taken.

    Yields
    ------
    sqlalchemy.URL
        Address of the server; a database and a user of the backup are to be named.

    Raises
    ------
    BackupError
        ``base`` is no base backup, or the log does not reach to the moment; with the server's last words.
    """
    version = _version(base)
    socket = Path(tempfile.mkdtemp(prefix="fits-dagster-past-"))
    data = socket / "data"
    try:
        account = _account(base, log)
        _copy(base, data, account)
        settings = _CONFIGURATION.format(socket=socket, log=log.resolve(), moment=moment.astimezone(UTC))
        (data / "postgresql.conf").write_text(settings)
        # what the other server's superuser has set, and whom it lets in, is of no interest here
        (data / "postgresql.auto.conf").write_text("")
        (data / "pg_hba.conf").write_text("local all all trust\n")
        (data / "recovery.signal").touch()
        _own(socket, account)
        with (socket / "log").open("wb") as output:
            server = subprocess.Popen(
                [server_program("postgres", version), "-D", str(data)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=socket,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else (),
            )
        try:
            url = URL.create("postgresql+psycopg", query={"host": str(socket), "port": "5432"})
            _wait(server, url, socket / "log", moment, tell)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(socket, ignore_errors=True)


def _version(base: Path) -> str:
    """Return the major version of a base backup's server."""
    try:
        (base / "backup_label").stat()
        return (base / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise BackupError(
            f"{base} is no base backup in plain form (unpack one in tar form first): {error}"
        ) from error


def _copy(base: Path, data: Path, account: pwd.struct_passwd | None) -> None:
    needed = sum(path.stat().st_size for path in base.rglob("*") if path.is_file())
    if (free := shutil.disk_usage(data.parent).free) < needed:
        raise BackupError(
            f"a copy of {base} takes {needed / 1e9:.1f} GB, and {data.parent} has {free / 1e9:.1f} GB: "
            "set TMPDIR to a larger disk"
        )
    shutil.copytree(base, data, symlinks=True, ignore=shutil.ignore_patterns("postmaster.*"))
    data.chmod(0o700)


def _account(base: Path, log: Path) -> pwd.struct_passwd | None:
    """Return who the server runs as; None for this process's own account, which must not be root's."""
    if os.geteuid() != 0:
        return None
    # whoever wrote the log can read it
    for path in (base / "PG_VERSION", *sorted(log.iterdir())[:1]):
        if owner := path.stat().st_uid:
            return pwd.getpwuid(owner)
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise BackupError(f"PostgreSQL does not run as root, and {base} belongs to root: chown it to postgres")


def _own(directory: Path, account: pwd.struct_passwd | None) -> None:
    if account is None:
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _wait(
    server: subprocess.Popen[bytes], url: URL, output: Path, moment: datetime, tell: Callable[[float], None]
) -> None:
    """Wait until the server has reached the moment and takes connections."""
    began = time.monotonic()
    # whoever may connect does: that nobody of this name exists is an answer as well
    engine = create_engine(url.set(username="postgres", database="postgres"))
    try:
        while True:
            if server.poll() is not None:
                said = output.read_text(errors="replace").strip()[-_LAST_WORDS:]
                raise BackupError(f"PostgreSQL did not come to {moment:%Y-%m-%d %H:%M:%S} UTC: {said}")
            try:
                engine.connect().close()
            except OperationalError as error:
                if "does not exist" in str(error):
                    return
                tell(time.monotonic() - began)
                time.sleep(_LOOK_S)
            else:
                return
    finally:
        engine.dispose()
