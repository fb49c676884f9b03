"""Background work gives way: it begins nothing while other work is at hand, and takes the processors last."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from fits_dagster.ledger.pending import has_work_in_hand
from fits_dagster.ledger.scope import Scope, Urgency
from fits_dagster.sites import Site

__all__ = ["BACKGROUND_BATCH", "NICENESS", "Courtesy", "lower_priority"]

#: Files come in bursts, and have more stages and another site before them: other work must have been absent
#: for so long; but background work waits at most so long before each claim.
_QUIET_S: Final = 10.0
_LONGEST_WAIT_S: Final = 30.0
#: How much it leaves the processors to everybody else.
NICENESS: Final = 15
#: Items that it takes at once, so that it soon looks again.
BACKGROUND_BATCH: Final = 8


class Courtesy:
    """Gives way to work that is not background work."""

    def __init__(self, site: Site, stop: Callable[[], bool]) -> None:
        self._site = site
        self._stop = stop
        self._busy_at = -_QUIET_S

    def wait(self) -> None:
        """Wait until nothing but background work has been due or in hand for a while, though not for ever."""
        deadline = time.monotonic() + _LONGEST_WAIT_S
        while not self._stop():
            with self._site.engine.connect() as connection:
                if has_work_in_hand(connection, Scope(urgency=Urgency.LIVE)):
                    self._busy_at = time.monotonic()
            now = time.monotonic()
            if now - self._busy_at >= _QUIET_S or now >= deadline:
                return
            time.sleep(self._site.work.poll_seconds)


def lower_priority(niceness: int) -> None:
    """Leave the processors to others, in this thread only: the process may do live work next.

    A Linux thread has a niceness of its own; elsewhere it is the process's, which is left as it is.
    """
    if niceness and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
