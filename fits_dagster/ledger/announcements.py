"""New work is announced (``NOTIFY``): who waits for it need not ask again and again."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Collection
from types import TracebackType
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from fits_dagster.ledger.queries import QUERIES

__all__ = ["Listener", "announce"]

_CHANNEL: Final = "fits_work"


def announce(connection: Connection, stages: Collection[str]) -> None:
    """Tell those who listen, when this transaction commits, that some stages have work."""
    connection.execute(QUERIES["announce"], {"channel": _CHANNEL, "stages": sorted(stages)})


class Listener:
    """Waits for work of some stages, on a connection of its own; a context manager.

    A listener that has lost its connection makes a new one, and lets its owner look meanwhile.
    """

    def __init__(self, engine: Engine, stages: Collection[str]) -> None:
        self._engine = engine
        self._stages = frozenset(stages)
        self._connection: Any = None

    def __enter__(self) -> Listener:
        self._listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def wait(self, seconds: float) -> bool:
        """Wait for an announcement; returns whether there was one, or may have been.

        Parameters
        ----------
        seconds
            Longest time to wait.
        """
        deadline = time.monotonic() + seconds
        if self._connection is None and not self._listen():
            time.sleep(seconds)
            return True
        try:
            while True:
                # what has come at the same time belongs to the same look
                heard = [each.payload for each in self._connection.notifies(timeout=0)]
                if self._stages.intersection(heard):
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._sleep(left)
        except psycopg.Error:
            self._close()
            return True

    def _sleep(self, seconds: float) -> None:
        """Sleep until the server says something; the driver would look ten times a second whether it has."""
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        poll.poll(math.ceil(seconds * 1000))

    def _listen(self) -> bool:
        try:
            pooled = self._engine.raw_connection()
            driver: Any = pooled.driver_connection
            pooled.detach()
            driver.rollback()
            driver.autocommit = True
            driver.execute(f"listen {_CHANNEL}")
        except (DBAPIError, psycopg.Error):
            return False
        self._connection = driver
        return True

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
