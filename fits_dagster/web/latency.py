"""How long files took from the telescope's disk, or from the end of their upload, through each stage: a plot.

The plot is a drawing of points by time and delay, which a page sets as SVG.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fits_dagster.web.night_view import NightView

__all__ = ["HEIGHT", "WIDTH", "LatencyPlot", "StageLatency", "plot_latencies"]

WIDTH: Final = 640
HEIGHT: Final = 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 6, 6, 22
#: Delays at the lower and the upper edge, seconds; a file that took longer lies on the edge.
_LEAST_S, _MOST_S = 0.1, 3600.0
_MARKS: Final = (
    (0.1, "0.1 s"),
    (1.0, "1 s"),
    (10.0, "10 s"),
    (60.0, "1 min"),
    (600.0, "10 min"),
    (3600.0, "1 h"),
)
#: What took longer than this has been made again since.
_AGAIN_S: Final = 86_400.0


@dataclass(frozen=True)
class StageLatency:
    """Delays of a stage, seconds."""

    title: str
    files: int
    median: float
    worst_of_95: float


@dataclass(frozen=True)
class _Point:
    x: float
    y: float
    #: Place of the stage in the list.
    stage: int
    title: str


@dataclass(frozen=True)
class LatencyPlot:
    """The points of a night, and marks of the axes: place and text."""

    stages: Sequence[StageLatency]
    points: Sequence[_Point]
    delays: Sequence[tuple[float, str]]
    times: Sequence[tuple[float, str]]


def plot_latencies(view: NightView) -> LatencyPlot | None:
    """Draw the delays of a night's files by stage; None if nothing is known."""
    found: list[tuple[datetime, float, int, str]] = []
    stages: list[StageLatency] = []
    for stage in view.stages:
        delays = []
        for entry in view.known:
            step, came = entry.progress.steps.get(stage.name), entry.progress.came_at
            if step is None or came is None or step.state != "done":
                continue
            seconds = (step.at - came).total_seconds()
            if 0 <= seconds <= _AGAIN_S:
                delays.append(seconds)
                found.append(
                    (came, seconds, len(stages), f"{entry.name}: {stage.title} after {seconds:.1f} s")
                )
        if delays:
            delays.sort()
            worst = delays[max(0, math.ceil(0.95 * len(delays)) - 1)]
            stages.append(StageLatency(stage.title, len(delays), statistics.median(delays), worst))
    if not found:
        return None
    first, last = min(each[0] for each in found), max(each[0] for each in found)
    span = max((last - first).total_seconds(), 1.0)

    def x_of(moment: datetime) -> float:
        return round(_LEFT + (moment - first).total_seconds() / span * (WIDTH - _LEFT - _RIGHT), 1)

    points = [_Point(x_of(came), _y_of(seconds), place, title) for came, seconds, place, title in found]
    times = [(x_of(moment), f"{moment.astimezone(UTC):%H:%M:%S}") for moment in dict.fromkeys((first, last))]
    return LatencyPlot(stages, points, [(_y_of(seconds), text) for seconds, text in _MARKS], times)


def _y_of(seconds: float) -> float:
    share = math.log(min(max(seconds, _LEAST_S), _MOST_S) / _LEAST_S) / math.log(_MOST_S / _LEAST_S)
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)
