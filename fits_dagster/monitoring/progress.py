"""Counters of what the stages do, summed up from the events since this process began to look.

Every event counts once: only what can no longer be overtaken by an earlier one is read, piece by piece.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final

from sqlalchemy import Engine

from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.monitoring.catalogue import LATENCY_BUCKETS
from fits_dagster.records.horizon import settled_until

__all__ = ["PIECE_S", "Latencies", "Progress"]

#: Most time that one reading of the events covers.
PIECE_S: Final = 600
#: Longest time that one call reads; what is left is read by the next one.
_PATIENCE_S: Final = 2.0


@dataclass
class Latencies:
    """A histogram of times."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one time."""
        self.counts[bisect.bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return the sums up to each class's end, as Prometheus has them."""
        ends = [*(str(end) for end in LATENCY_BUCKETS), "+Inf"]
        return list(zip(ends, map(float, accumulate(self.counts)), strict=True))


class Progress:
    """Sums by stage, brought up to date when they are asked for."""

    def __init__(self, engine: Engine, stages: Sequence[str]) -> None:
        self._engine = engine
        self._stages = list(stages)
        self._read_until: datetime | None = None
        self._lock = threading.Lock()
        #: Files by stage and outcome.
        self.files: dict[tuple[str, str], int] = {
            (stage, outcome): 0 for stage in stages for outcome in ("done", "failed", "retrying")
        }
        self.bytes: dict[str, int] = dict.fromkeys(stages, 0)
        self.seconds: dict[str, float] = dict.fromkeys(stages, 0.0)
        self.latencies: dict[str, Latencies] = defaultdict(
            Latencies, {stage: Latencies() for stage in stages}
        )

    def begin(self) -> None:
        """Count from now on.

        Raises
        ------
        sqlalchemy.exc.DBAPIError
            The database does not answer.
        """
        with self._lock, self._engine.connect() as connection:
            if self._read_until is None:
                self._read_until = settled_until(connection)

    def update(self) -> None:
        """Read what has happened since the last call.

        Raises
        ------
        sqlalchemy.exc.DBAPIError
            The database does not answer.
        """
        deadline = time.monotonic() + _PATIENCE_S
        with self._lock, self._engine.connect() as connection:
            until = settled_until(connection)
            if self._read_until is None:
                self._read_until = until
            while self._read_until < until and time.monotonic() < deadline:
                end = min(until, self._read_until + timedelta(seconds=PIECE_S))
                asked = {"begin": self._read_until, "end": end, "stages": self._stages}
                rows = connection.execute(LEDGER["stage_figures"], asked).all()
                for stage, outcome, files, size, seconds, latencies in rows:
                    self.files[stage, outcome] += files
                    if outcome == "done":
                        self.bytes[stage] += size
                        self.seconds[stage] += seconds
                        for latency in latencies:
                            self.latencies[stage].add(latency)
                self._read_until = end
