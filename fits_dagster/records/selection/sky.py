"""Coordinates in a selection: right ascension, declination, and the radius of a cone.

A position with a radius is searched by a box, for which there is an index, and then by the distance itself.
"""

from __future__ import annotations

import math
import re
from typing import Final

from sqlalchemy import ColumnElement, Double, and_, cast, func, or_, true

from fits_dagster.records.selection.terms import Asked
from fits_dagster.records.selection.values import BadSelectionError, Limits, exact
from fits_dagster.records.tables import header

__all__ = [
    "DEFAULT_RADIUS",
    "near_dec",
    "near_ra",
    "read_dec",
    "read_ra",
    "read_radius",
    "separation",
]

#: Of a cone whose radius is not given, degrees.
DEFAULT_RADIUS: Final = 180 / 3600

_DECIMAL: Final = r"\d{1,3}(?:\.\d{0,15})?"
_SEXAGESIMAL: Final = r"\d{1,3}(?::|[hd])\d{1,2}(?:(?::|m)\d{1,2}(?:\.\d{0,9})?s?|m)?"
_ANGLE: Final = f"[+-]?(?:{_SEXAGESIMAL}|{_DECIMAL})"
_ONE: Final = re.compile(_ANGLE, re.ASCII)
_TWO: Final = re.compile(f"({_ANGLE})-({_ANGLE})", re.ASCII)
_RADIUS: Final = re.compile(r"(\d{1,9}(?:\.\d{0,15})?|\.\d{1,15})(d|deg|degs)?", re.ASCII)
#: Beyond this declination a box in right ascension is no use.
_NEAR_POLE: Final = 90 - 1e-6


def read_ra(text: str) -> Limits:
    """Read a right ascension, or a range: degrees, or hours, minutes and seconds.

    The range may lead through zero: then the first is the larger.

    Raises
    ------
    BadSelectionError
        It is none.
    """
    low, high, is_single = _angles(text, hours=True)
    if not (0 <= low <= 360 and 0 <= high <= 360):
        raise BadSelectionError(f"the right ascension {text!r} is not between 0 and 360 degrees")
    return Limits(low, high, is_single)


def read_dec(text: str) -> Limits:
    """Read a declination, or a range in either order: degrees, or degrees, minutes and seconds.

    Raises
    ------
    BadSelectionError
        It is none.
    """
    low, high, is_single = _angles(text, hours=False)
    if not (-90 <= low <= 90 and -90 <= high <= 90):
        raise BadSelectionError(f"the declination {text!r} is not between -90 and 90 degrees")
    return Limits(min(low, high), max(low, high), is_single)


def read_radius(text: str) -> float:
    """Read a radius: arc seconds, or degrees with ``d`` behind; returns degrees.

    Raises
    ------
    BadSelectionError
        It is none.
    """
    found = _RADIUS.fullmatch(text)
    if found is None:
        raise BadSelectionError(f"the radius {text!r} is no number of arc seconds, or of degrees with a d")
    degrees = float(found[1]) if found[2] else float(found[1]) / 3600
    if degrees > 180:
        raise BadSelectionError(f"the radius {text!r} is larger than the sky")
    return degrees


def _angles(text: str, *, hours: bool) -> tuple[float, float, bool]:
    if _ONE.fullmatch(text):
        value = _angle(text, hours=hours)
        return value, value, True
    found = _TWO.fullmatch(text)
    if found is None:
        raise BadSelectionError(f"{text!r} is no angle in degrees or sexagesimal, and no range of such")
    return _angle(found[1], hours=hours), _angle(found[2], hours=hours), False


def _angle(text: str, *, hours: bool) -> float:
    parts = [part for part in re.split("[:hdms]", text.lstrip("+-")) if part]
    if any(float(part) >= 60 for part in parts[1:]):
        raise BadSelectionError(f"{text!r} has more than 59 minutes or seconds")
    value: float = sum(float(part) / 60**place for place, part in enumerate(parts))
    if len(parts) > 1 and hours and "d" not in text:
        value *= 15
    return -value if text.startswith("-") else value


def near_ra(value: Limits, asked: Asked) -> ColumnElement[bool]:
    """Return the condition on the right ascension: the range, or the width of the cone."""
    if not value.is_single:
        return _between_ra(value.low, value.high)
    radius = asked.get("sr", DEFAULT_RADIUS)
    dec: Limits | None = asked.get("dec")
    width = radius if dec is None else _half_width(radius, (dec.low + dec.high) / 2)
    if width >= 180:
        return header.c.ra.is_not(None)
    return _between_ra((value.low - width) % 360, (value.low + width) % 360)


def _between_ra(low: float, high: float) -> ColumnElement[bool]:
    if high > low:
        return header.c.ra.between(exact(low), exact(high))
    return or_(header.c.ra >= exact(low), header.c.ra <= exact(high))


def _half_width(radius: float, dec: float) -> float:
    """Return how far a cone reaches in right ascension: less than ``radius / cos(dec)`` would miss some."""
    if abs(dec) + radius >= _NEAR_POLE:
        return 180.0
    ratio = math.sin(math.radians(radius)) / math.cos(math.radians(dec))
    return math.degrees(math.asin(min(1.0, ratio))) + 1e-9


def near_dec(value: Limits, asked: Asked) -> ColumnElement[bool]:
    """Return the condition on the declination, and on the distance if there is a position."""
    if not value.is_single:
        return header.c.dec.between(exact(value.low), exact(value.high))
    radius = asked.get("sr", DEFAULT_RADIUS)
    band = header.c.dec.between(exact(value.low - radius - 1e-9), exact(value.low + radius + 1e-9))
    ra: Limits | None = asked.get("ra")
    inside = separation(ra.low, value.low) <= radius + 1e-9 if ra is not None and ra.is_single else true()
    return and_(band, inside)


def separation(ra: float, dec: float) -> ColumnElement[float]:
    """Return the distance of a record from a position, degrees (haversine: exact when it is small)."""
    there_ra, there_dec = cast(header.c.ra, Double), cast(header.c.dec, Double)
    squared = func.power(func.sind((there_dec - dec) / 2), 2) + func.cosd(there_dec) * math.cos(
        math.radians(dec)
    ) * func.power(func.sind((there_ra - ra) / 2), 2)
    distance: ColumnElement[float] = 2 * func.asind(func.least(1.0, func.sqrt(squared)))
    return distance
