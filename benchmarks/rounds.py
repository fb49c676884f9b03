"""Stage and floor in turns, so that whatever else the machine does meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
from sqlalchemy import Engine, text

__all__ = ["Rounds", "Spent", "processor_of", "take_turns", "taken"]


@dataclass(frozen=True)
class Rounds:
    """Medians over the rounds, seconds, and the ratio of each round."""

    seconds: float
    floor: float
    ratios: tuple[float, ...]

    @property
    def details(self) -> dict[str, Any]:
        """Return how far the rounds lie apart."""
        low, high = min(self.ratios), max(self.ratios)
        return {"rounds": len(self.ratios), "ratios": f"{low:.2f} to {high:.2f}"}


def take_turns(rounds: int, stage: Callable[[], float], floor: Callable[[], float]) -> Rounds:
    """Measure a stage and its floor alternately.

    Parameters
    ----------
    stage, floor
        Do their work once and return the seconds that count.
    """
    times: list[tuple[float, float]] = []
    for turn in range(rounds):
        if turn % 2:
            least = floor()
            times.append((stage(), least))
        else:
            times.append((stage(), floor()))
    stages, floors = zip(*times, strict=True)
    return Rounds(
        statistics.median(stages), statistics.median(floors), tuple(sorted(s / f for s, f in times))
    )


def taken(action: Callable[[], object]) -> float:
    """Return the seconds of wall clock time that something takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


class Spent:
    """Processor time of this process, its children, and a database server, seconds."""

    def __init__(self, engine: Engine) -> None:
        with engine.connect() as connection:
            backend = psutil.Process(int(connection.scalar(text("select pg_backend_pid()")) or 0))
        server = backend.parent() or backend
        self._roots = [psutil.Process(), server]
        self._before = processor_of(self._roots)

    def again(self) -> float:
        """Return what has been spent since the last call."""
        now = processor_of(self._roots)
        spent, self._before = now - self._before, now
        return spent


def processor_of(roots: list[psutil.Process]) -> float:
    """Return the processor time of processes and all that they have started, those that ended included."""
    total, seen = 0.0, set()
    for root in roots:
        for process in (root, *root.children(recursive=True)):
            if process.pid in seen:
                continue
            seen.add(process.pid)
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total
