"""Sky positions: keywords in their many forms, offsets, and conversion to ICRS.

Conversions call ERFA directly; it is imported only when a position needs one.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from fits_dagster.fits.cards import Cards, Value

from .times import decimal_year
from .values import as_number, as_text, number, sexagesimal, text

__all__ = [
    "Position",
    "celestial_reference",
    "degrees_or_sexagesimal",
    "keyword_position",
    "separation",
    "target_with_offsets",
    "to_icrs",
]

Position = tuple[float, float]

_HOURS_TO_DEGREES: Final = 15.0
_ARCSEC: Final = 1 / 3600.0
#: What the telescope control system writes for a value that it does not have.
_NOT_KNOWN: Final = -9999.0
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX_EPOCH_JD: Final = 2440587.5


def celestial_reference(cards: Cards) -> tuple[float | None, float | None] | None:
    """Return CRVAL of the RA axis and of the Dec axis of a header, degrees.

    Returns
    -------
    tuple or None
        None if the first two axes are not RA and Dec, in either order.
    """
    types = [(as_text(cards.get(f"CTYPE{axis}")) or "").upper() for axis in (1, 2)]
    values = [number(cards, f"CRVAL{axis}") for axis in (1, 2)]
    if types[0].startswith("RA-") and types[1].startswith("DEC-"):
        return values[0], values[1]
    if types[0].startswith("DEC-") and types[1].startswith("RA-"):
        return values[1], values[0]
    return None


def degrees_or_sexagesimal(value: Value, *, hours: bool) -> float | None:
    """Return a coordinate keyword in degrees.

    Parameters
    ----------
    value : Value
        A number or text with a number (degrees), or sexagesimal text.
    hours : bool
        Whether sexagesimal text is in hours (right ascension).
    """
    plain = as_number(value)
    if plain is not None:
        return float(plain)
    if not isinstance(value, str):
        return None
    parsed = sexagesimal(value)
    return parsed * _HOURS_TO_DEGREES if hours and parsed is not None else parsed


def keyword_position(
    cards: Cards, ra_key: str = "RA", dec_key: str = "DEC"
) -> tuple[float | None, float | None]:
    """Return RA and Dec from keywords, degrees."""
    return (
        degrees_or_sexagesimal(cards.get(ra_key), hours=True),
        degrees_or_sexagesimal(cards.get(dec_key), hours=False),
    )


def target_with_offsets(primary: Cards, instant: datetime | None) -> Position | None:
    """Return the target position with offsets and proper motion, ICRS, degrees.

    Parameters
    ----------
    primary : Cards
        ``RA``, ``DEC`` (degrees), ``RAOFFSET``, ``RATRGOFF``, ``DECOFFSE``, ``DECTRGOF`` (arc seconds),
        ``PMRA`` (seconds of time a year), ``PMDEC`` (arc seconds a year), ``EPOCH``, ``FRAME``.
    instant : datetime or None
        Time of the observation, UTC; needed for proper motion and for the apparent place.
    """
    ra, dec = keyword_position(primary)
    if ra is None or dec is None or not 0 <= ra <= 360 or not -90 <= dec <= 90:
        return None
    dec += (_known(primary, "DECOFFSE") + _known(primary, "DECTRGOF")) * _ARCSEC
    motion_ra, motion_dec = _known(primary, "PMRA"), _known(primary, "PMDEC")
    years = 0.0
    if (motion_ra or motion_dec) and instant is not None:
        years = decimal_year(instant) - _known(primary, "EPOCH", 2000.0)
    dec += motion_dec * years * _ARCSEC
    cosine = math.cos(math.radians(dec))
    ra += (_known(primary, "RAOFFSET") + _known(primary, "RATRGOFF")) * _ARCSEC / cosine
    ra += motion_ra * years * _HOURS_TO_DEGREES * _ARCSEC
    return to_icrs(text(primary, "FRAME") or "FK5", ra, dec, instant)


def _known(cards: Cards, key: str, default: float = 0.0) -> float:
    found = number(cards, key)
    return default if found is None or found == _NOT_KNOWN else float(found)


def to_icrs(frame: str, ra: float, dec: float, instant: datetime | None) -> Position | None:
    """Convert a position to ICRS.

    Parameters
    ----------
    frame : str
        ``FK5`` (J2000); everything else is the geocentric apparent place of date.
    ra, dec : float
        Degrees.
    instant : datetime or None
        UTC; needed for the apparent place only.

    Returns
    -------
    tuple or None
        Degrees; None for an apparent place without a time.
    """
    import erfa  # type: ignore[import-untyped,unused-ignore]

    if frame.upper() == "FK5":
        rotation, _ = erfa.fk5hip()
        vector = erfa.rxp(rotation, erfa.s2c(math.radians(ra), math.radians(dec)))
        longitude, latitude = erfa.c2s(vector)
        return math.degrees(longitude) % 360.0, math.degrees(latitude)
    if instant is None:
        return None
    days = (instant - _UNIX_EPOCH).total_seconds() / 86400.0
    *_, origins = erfa.apci13(_UNIX_EPOCH_JD, days)
    ri = math.radians(ra) + float(origins)
    longitude, latitude, _ = erfa.atic13(ri, math.radians(dec), _UNIX_EPOCH_JD, days)
    return math.degrees(float(longitude)) % 360.0, math.degrees(float(latitude))


def separation(first: Position, second: Position) -> float:
    """Return the angle between two positions, degrees."""
    ra1, dec1, ra2, dec2 = (math.radians(value) for value in (*first, *second))
    half = math.sin((dec2 - dec1) / 2) ** 2 + math.cos(dec1) * math.cos(dec2) * math.sin((ra2 - ra1) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half))))
