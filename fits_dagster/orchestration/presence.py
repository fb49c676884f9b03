"""A run shows that its process lives by a lock in Dagster's database, held by a connection of its own.

PostgreSQL lets go of the lock when the process dies, and soon after its host has gone; nobody writes
heartbeats, and a process that is merely frozen is not taken for dead. The same connection tells the process
when somebody ends its run.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy import make_url

from fits_dagster.database.server import PRESENCE, RUN_LOCKS
from fits_dagster.orchestration.storage import storage_url

__all__ = [
    "RunPresence",
    "held_runs",
    "is_at_work",
    "is_canceled",
    "present",
    "stop_all",
    "stop_requested",
    "stopped_by_sigterm",
]

log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 2.0
#: A run that was ended, and whose work does not stop in good order, is cut short after this time.
_LAST_S: Final = 15.0
_CONNECT_S: Final = 5
_IN_PROGRESS: Final = ("NOT_STARTED", "QUEUED", "STARTING", "STARTED")

_HELD = """
select objid from pg_locks where locktype = 'advisory' and classid = %s and granted
  and database = (select oid from pg_database where datname = current_database())
"""


def _key(run_id: str) -> int:
    return int.from_bytes(bytes.fromhex(run_id.replace("-", "")[:8]), "big", signed=True)


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(
        plain,
        autocommit=True,
        connect_timeout=_CONNECT_S,
        options=PRESENCE.at_the_server(),
        application_name="fits_dagster run",
        **PRESENCE.at_the_client(),
    )


def held_runs(run_ids: Collection[str], *, url: str | None = None) -> set[str]:
    """Return those runs whose process lives.

    Parameters
    ----------
    url
        Address of Dagster's database; by default that of the settings.

    Raises
    ------
    psycopg.Error
        The database does not answer.
    """
    if not run_ids:
        return set()
    with _connect(url or storage_url()) as connection:
        # object ids are unsigned
        held = {int(str(row[0])) for row in connection.execute(_HELD, [RUN_LOCKS])}
    return {run_id for run_id in run_ids if _key(run_id) % 2**32 in held}


class RunPresence:
    """Shows that this process works on a run, and notices when somebody ends the run."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        #: Set when the run should end in good order.
        self.stop = threading.Event()
        #: Whether that is because somebody has ended it.
        self.canceled = False
        self._url = storage_url()
        self._over = threading.Event()
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._thread = threading.Thread(target=self._watch, name="run-presence", daemon=True)

    def begin(self) -> bool:
        """Take the lock, and keep it; returns whether no other process has it."""
        if not self._take():
            return False
        self._thread.start()
        return True

    def end(self) -> None:
        """Give the lock back."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_LOOK_EVERY_S)
        self._close()

    def _take(self) -> bool:
        self._connection = _connect(self._url)
        row = self._connection.execute(
            "select pg_try_advisory_lock(%s::int, %s::int)", [RUN_LOCKS, _key(self.run_id)]
        ).fetchone()
        if row is not None and row[0]:
            return True
        self._close()
        return False

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _watch(self) -> None:
        ended_at: float | None = None
        while not self._over.wait(_LOOK_EVERY_S):
            if ended_at is not None and time.monotonic() - ended_at > _LAST_S:
                log.error("run %s was ended and did not stop within %.0f s", self.run_id, _LAST_S)
                os._exit(1)
            try:
                if self._connection is None and not self._take():
                    # it was given to another while we had no connection
                    self.stop.set()
                    continue
                assert self._connection is not None
                row = self._connection.execute(
                    "select status from runs where run_id = %s", [self.run_id]
                ).fetchone()
            except (psycopg.Error, OSError) as error:
                log.warning("run %s: Dagster's database does not answer: %s", self.run_id, error)
                self._close()
                continue
            if ended_at is None and (row is None or row[0] not in _IN_PROGRESS):
                self.canceled = True
                self.stop.set()
                ended_at = time.monotonic()


#: The run of this process, and whether the process itself is to end.
_present: RunPresence | None = None
_stopping = threading.Event()


@contextmanager
def present(run_id: str) -> Iterator[bool]:
    """Show that this process works on a run for as long as the context lasts.

    Yields
    ------
    bool
        False when another process is at it already.
    """
    global _present
    presence = RunPresence(run_id)
    if not presence.begin():
        yield False
        return
    _present = presence
    try:
        yield True
    finally:
        _present = None
        presence.end()


def stop_all() -> None:
    """Let this process finish the files in hand, release the rest, and end its run in good order."""
    _stopping.set()


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the work in hand in good order for as long as the context lasts.

    Dagster would raise an interrupt in the middle of a file.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop_all())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop_requested() -> bool:
    """Tell whether the run of this process should end in good order."""
    return _stopping.is_set() or (_present is not None and _present.stop.is_set())


def is_at_work() -> bool:
    """Tell whether this process works on a run."""
    return _present is not None


def is_canceled() -> bool:
    """Tell whether somebody has ended the run of this process."""
    return _present is not None and _present.canceled
