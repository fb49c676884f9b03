"""Time scales that headers name in TIMESYS, and what separates them from UTC."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, time, timedelta
from typing import Final

__all__ = ["fits_local_time", "to_utc"]

#: First UTC days on which TAI was ahead by one second more, 10 s and more. Source: IERS Bulletin C.
_STEPS: Final = tuple(
    datetime(year, month, 1, tzinfo=UTC)
    for year, month in (
        (1972, 1), (1972, 7), (1973, 1), (1974, 1), (1975, 1), (1976, 1), (1977, 1), (1978, 1), (1979, 1),
        (1980, 1), (1981, 7), (1982, 7), (1983, 7), (1985, 7), (1988, 1), (1990, 1), (1991, 1), (1992, 7),
        (1993, 7), (1994, 7), (1996, 1), (1997, 7), (1999, 1), (2006, 1), (2009, 1), (2012, 7), (2015, 7),
        (2017, 1),
    )
)  # fmt: skip
_FIRST_STEP_S: Final = 9
#: Scales that keep a fixed distance from TAI, seconds: TT and what runs with it to some milliseconds.
_FROM_TAI: Final = {
    "TAI": 0.0,
    "IAT": 0.0,
    "GPS": -19.0,
    **dict.fromkeys(("TT", "TDT", "ET", "TDB"), 32.184),
}
#: Names of UTC, and UT1, which is never a second away from it.
_UTC: Final = frozenset({"", "UTC", "UT", "UT1", "GMT"})
#: Local times that are always as far from UTC, hours.
_LOCAL: Final = {"HST": -10}
#: Hours by which local time is ahead of UTC, in winter and summer.
_SITES: Final = {"Gemini-North": (-10,), "Gemini-South": (-4, -3)}
#: Clocks that differ by more than this, hours, show different times.
_TOLERANCE_H: Final = 0.25


def fits_local_time(instant: datetime, local: time, telescope: str | None) -> bool:
    """Tell whether a local time may be that of an instant; true where the site is not known."""
    shown = datetime.combine(instant.date(), local, tzinfo=UTC)
    ahead = (shown - instant) / timedelta(hours=1)
    offsets = _SITES.get(telescope or "")
    return offsets is None or any(abs((ahead - offset + 12) % 24 - 12) <= _TOLERANCE_H for offset in offsets)


def to_utc(instant: datetime, scale: str) -> datetime | None:
    """Turn a time of some scale into UTC.

    Parameters
    ----------
    instant : datetime
        Aware, as if it were UTC.
    scale : str
        As in TIMESYS; a realisation in brackets (``UTC(NIST)``) does not matter.

    Returns
    -------
    datetime or None
        None where the scale is not known.
    """
    name = scale.partition("(")[0].strip().upper()
    if name in _UTC:
        return instant
    if name in _LOCAL:
        return instant - timedelta(hours=_LOCAL[name])
    if name not in _FROM_TAI:
        return None
    tai = instant - timedelta(seconds=_FROM_TAI[name])
    # the step of a day counts from its midnight UTC, which is that much later in TAI
    steps = [step + timedelta(seconds=_FIRST_STEP_S + number) for number, step in enumerate(_STEPS, 1)]
    number = bisect_right(steps, tai)
    return tai - timedelta(seconds=_FIRST_STEP_S + number) if number else tai
