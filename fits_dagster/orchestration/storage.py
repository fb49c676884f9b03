"""Dagster's storage: PostgreSQL at the address that the settings name."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from functools import cache
from typing import Any

import sqlalchemy

from fits_dagster.database.server import dagster_url
from fits_dagster.orchestration.event_log import BatchedPostgresStorage
from fits_dagster.orchestration.private import (
    ConfigurableClass,
    ConfigurableClassData,
    DagsterSqliteStorage,
    DagsterStorage,
    EventLogStorage,
    RunStorage,
    ScheduleStorage,
    use_engine,
    using_dagster_dev,
)
from fits_dagster.settings import load_settings

__all__ = ["DataflowStorage", "make_tables", "storage_url"]

log = logging.getLogger(__name__)

#: Set by ``fits-dagster up`` for the processes of a running system.
_URL_VARIABLE = "FITS_DAGSTER_DAGSTER_URL"
_CONNECT_TIMEOUT_S = 3
_POOL_SIZE, _POOL_OVERFLOW, _RECYCLE_S = 2, 30, 300
#: Kept for the life of the process: Dagster keeps the parts of a storage, not the storage.
_temporary: list[tempfile.TemporaryDirectory[str]] = []


def storage_url() -> str:
    """Return the address of Dagster's database.

    Raises
    ------
    FileNotFoundError
        There is no database server yet.
    """
    url = os.environ.get(_URL_VARIABLE)
    return url or dagster_url(load_settings()).render_as_string(hide_password=False)


class DataflowStorage(DagsterStorage, ConfigurableClass):
    """Storage that takes its address from the settings of fits_dagster.

    In a running system it is PostgreSQL. Tools that only look at the definitions work without a database:
    they get a temporary storage that goes with their process.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._storage: DagsterStorage
        if _is_dagster_dev():
            os.environ.update(start_for_dagster_dev())
        url = _reachable_url()
        if url is not None:
            # in a running system the tables were made before anything was started
            self._storage = BatchedPostgresStorage(
                url, should_autocreate_tables=_URL_VARIABLE not in os.environ
            )
            _keep_connections(self._storage, url)
        else:
            log.warning("no database: runs are kept for this process only")
            directory = tempfile.TemporaryDirectory(prefix="fits_dagster-")
            _temporary.append(directory)
            self._storage = DagsterSqliteStorage(directory.name)
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """How it was configured."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Any:
        """No configuration of its own."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> DataflowStorage:
        """Make the storage."""
        return cls(inst_data)

    @property
    def run_storage(self) -> RunStorage:
        """Where runs are kept."""
        return self._storage.run_storage

    @property
    def event_log_storage(self) -> EventLogStorage:
        """Where events are kept."""
        return self._storage.event_log_storage

    @property
    def schedule_storage(self) -> ScheduleStorage:
        """Where ticks are kept."""
        return self._storage.schedule_storage

    @property
    def run_storage_data(self) -> ConfigurableClassData | None:
        """No configuration of its own."""
        return None

    @property
    def event_storage_data(self) -> ConfigurableClassData | None:
        """No configuration of its own."""
        return None

    @property
    def schedule_storage_data(self) -> ConfigurableClassData | None:
        """No configuration of its own."""
        return None


def _is_dagster_dev() -> bool:
    """Tell whether this is the first process of `dagster dev`; those that it starts have our variable."""
    return using_dagster_dev() and _URL_VARIABLE not in os.environ


def start_for_dagster_dev() -> dict[str, str]:
    """Start the databases, the broker, a worker and the web applications; they end with this process.

    Returns
    -------
    dict
        What the other processes of `dagster dev` need in their environment.

    Raises
    ------
    SystemExit
        They do not come up, or another system runs on this home; what was said is on standard error.
    """
    home = load_settings().home
    engine = subprocess.Popen(
        [sys.executable, "-m", "fits_dagster", "up", "--for-dagster-dev", "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # Ctrl-C is for `dagster dev`, whose end ends this in good order
        start_new_session=True,
        text=True,
    )
    assert engine.stdout is not None
    line = engine.stdout.readline()
    if not line:
        raise SystemExit(engine.wait() or 1)
    _engine.append(engine)
    variables: dict[str, str] = json.loads(line)
    return variables


_engine: list[subprocess.Popen[str]] = []


def make_tables() -> None:
    """Make Dagster's tables where they are missing."""
    BatchedPostgresStorage(storage_url())


@cache
def _engine_of_process(_pid: int, url: str) -> sqlalchemy.Engine:
    """Return the one engine of a process; a forked one gets its own.

    Every tick of a sensor has an instance of Dagster, whose connections would stay until it is collected.
    """
    return sqlalchemy.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_OVERFLOW,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_S,
    )


def _keep_connections(storage: DagsterStorage, url: str) -> None:
    """Let a storage keep a few connections; by itself it makes a new one for each statement.

    That costs more than the statements, above all while nothing happens. Each is tried before it is used.
    """
    engine = _engine_of_process(os.getpid(), url)
    parts: tuple[Any, ...] = (storage.run_storage, storage.event_log_storage, storage.schedule_storage)
    for part in parts:
        use_engine(part, engine)


def _reachable_url() -> str | None:
    """Return the database's address; in a running system without asking whether it answers now."""
    try:
        url = storage_url()
    except FileNotFoundError:
        return None
    if _URL_VARIABLE in os.environ:
        return url
    engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S})
    try:
        with engine.connect():
            return url
    except sqlalchemy.exc.OperationalError:
        return None
    finally:
        engine.dispose()
