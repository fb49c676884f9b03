"""Section keywords: ``[x1:x2,y1:y2]``, one based, both ends included."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Section", "binning", "parse_section"]

_SECTION = re.compile(r"\s*\[\s*(-?\d+)\s*:\s*(-?\d+)\s*,\s*(-?\d+)\s*:\s*(-?\d+)\s*\]\s*$")
_BINNING = re.compile(r"\s*(\d+)[\s,x]+(\d+)\s*$")


class Section(NamedTuple):
    """A rectangle, zero based, ends not included."""

    x1: int
    x2: int
    y1: int
    y2: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y2 - self.y1, self.x2 - self.x1

    def inside(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of (rows, columns) has all of it."""
        return 0 <= self.x1 < self.x2 <= shape[1] and 0 <= self.y1 < self.y2 <= shape[0]


def parse_section(value: object) -> Section | None:
    """Read a section keyword; None where it is missing or malformed. Reversed ranges are turned round."""
    match = _SECTION.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    x1, x2, y1, y2 = (int(group) for group in match.groups())
    return Section(min(x1, x2) - 1, max(x1, x2), min(y1, y2) - 1, max(y1, y2))


def binning(value: object) -> tuple[int, int]:
    """Read ``CCDSUM`` as (x, y); (1, 1) where it is missing."""
    match = _BINNING.match(value) if isinstance(value, str) else None
    if match is None:
        return 1, 1
    return max(1, int(match[1])), max(1, int(match[2]))
