"""Photometric standard stars: reading a catalogue, and telling whether one lies in a footprint."""

from __future__ import annotations

import csv
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from .footprints import Corner, Footprint

__all__ = ["PhotometricStandards", "contains", "load_standards"]

_DEGREES_PER_HOUR: Final = 15.0
#: A star that is no farther from the edge counts as inside; headers with a broken scale have footprints
#: that are but a line or a point.
_EDGE_DEGREES: Final = 1e-6


@dataclass(frozen=True)
class PhotometricStandards:
    """Positions of standard stars."""

    #: Declination and right ascension in degrees, in order.
    positions: Sequence[tuple[float, float]]

    def any_inside(self, footprints: Iterable[Footprint]) -> bool:
        """Tell whether a star lies in one of the footprints, or on its edge."""
        return any(self._any_inside(footprint.corners) for footprint in footprints)

    def _any_inside(self, corners: Sequence[Corner]) -> bool:
        decs = [float(dec) for _, dec in corners]
        first = bisect_left(self.positions, (min(decs) - _EDGE_DEGREES, -math.inf))
        last = bisect_right(self.positions, (max(decs) + _EDGE_DEGREES, math.inf))
        return any(contains(corners, (ra, dec)) for dec, ra in self.positions[first:last])


@lru_cache(maxsize=4)
def load_standards(path: Path) -> PhotometricStandards:
    """Read a catalogue, once in the life of a process.

    Parameters
    ----------
    path
        Text with commas between the columns and their names in the first line, among them ``RA`` in hours
        and ``DEC`` in degrees; other columns are not looked at. Source: the reference system.

    Raises
    ------
    ValueError
        A column is missing, or a position is no number; the message names the line.
    """
    positions = []
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            try:
                positions.append((float(row["DEC"]), _DEGREES_PER_HOUR * float(row["RA"])))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: no RA and DEC: {error}") from error
    return PhotometricStandards(sorted(positions))


def contains(corners: Sequence[Corner], point: Corner) -> bool:
    """Tell whether a point lies in a small polygon on the sky, or on its edge.

    Parameters
    ----------
    corners
        Right ascension and declination in degrees, in order round the polygon. Straight lines in these
        coordinates join them; right ascension may pass 360.
    point
        Right ascension and declination in degrees.
    """
    # relative to a corner, so that the polygon may lie across the zero of right ascension
    start = float(corners[0][0])
    x, y = _wrapped(point[0] - start), point[1]
    relative = [(_wrapped(float(ra) - start) - x, float(dec) - y) for ra, dec in corners]
    inside = False
    for (x1, y1), (x2, y2) in zip(relative, [*relative[1:], relative[0]], strict=True):
        if _distance_from_origin(x1, y1, x2, y2) < _EDGE_DEGREES:
            return True
        if (y1 > 0) != (y2 > 0) and x1 - y1 * (x2 - x1) / (y2 - y1) > 0:
            inside = not inside
    return inside


def _wrapped(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0


def _distance_from_origin(x1: float, y1: float, x2: float, y2: float) -> float:
    """Return the distance of the origin from a line between two points."""
    dx, dy = x2 - x1, y2 - y1
    length = dx * dx + dy * dy
    along = min(1.0, max(0.0, -(x1 * dx + y1 * dy) / length)) if length else 0.0
    return math.hypot(x1 + along * dx, y1 + along * dy)
