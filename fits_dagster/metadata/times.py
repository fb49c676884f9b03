"""Dates and times of observation. Source: Gemini header conventions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from fits_dagster.fits.cards import Cards, Value

from .values import as_number, as_text

__all__ = [
    "decimal_year",
    "parse_any_date",
    "parse_date",
    "parse_instant",
    "parse_time",
    "seconds_since_2000",
    "ut_datetime",
    "utdate_and_ut",
]

_ISO: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d(?:\.\d*)?)Z?")
_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_SHORT_DATE: Final = re.compile(r"(\d\d)/(\d\d)/(\d\d\d?)")
_NAMED_MONTH: Final = re.compile(r"(\d{4})-([A-Za-z]{3})-(\d\d)")
_OTHER_DATES: Final = (
    re.compile(r"(?P<y>\d{4})[/.](?P<m>\d\d?)[/.](?P<d>\d\d?)"),
    re.compile(r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)(?!\d)"),
    re.compile(r"(?P<d>\d\d?)[- ](?P<m>[A-Za-z]{3})[a-z]*[- ](?P<y>\d{4})"),
)
_TIME: Final = re.compile(r"(\d\d?):(\d\d?):(\d\d?(?:\.\d*)?)")
_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MJD_ZERO: Final = datetime(1858, 11, 17, tzinfo=UTC)
_DATE_KEYWORDS: Final = ("DATE-OBS", "DATE", "UTDATE")
_TIME_KEYWORDS: Final = ("UT", "TIME-OBS", "STARTUT", "UTSTART")


def ut_datetime(primary: Cards, extensions: Iterable[Cards], filename: str) -> datetime | None:
    """Return the UTC start of an observation by the general rule.

    Parameters
    ----------
    primary : Cards
        Primary header.
    extensions : iterable of Cards
        Extension headers; their ``FRMNAME`` is a last resort for the date.
    filename : str
        The other last resort.

    Returns
    -------
    datetime or None
        Aware, UTC. None if no date can be found.
    """
    day: date | None = None
    for key in _DATE_KEYWORDS:
        found = _stripped(primary.get(key))
        instant = parse_instant(found) if "T" in found else None
        if instant is not None:
            return instant
        day = parse_date(found)
        if day is not None:
            break
    clock = _first_time(primary, _TIME_KEYWORDS)
    if day is not None and clock is not None:
        return _joined(day, clock)
    modified_julian = as_number(primary.get("MJD-OBS"))
    if modified_julian is not None and modified_julian > 1:
        return _after(_MJD_ZERO, modified_julian)
    started = parse_instant(_stripped(primary.get("OBSSTART")))
    if started is not None:
        return started
    if day is None:
        names = [_stripped(cards.get("FRMNAME")) for cards in extensions]
        day = _date_in_names([*names, filename])
    return None if day is None else _joined(day, clock or time())


def utdate_and_ut(primary: Cards, first_extension: Cards | None) -> datetime | None:
    """Return UTDATE joined with UT, of the primary header or else of extension 0."""
    for cards in (primary, first_extension):
        if cards is None:
            continue
        day, clock = parse_date(_stripped(cards.get("UTDATE"))), _first_time(cards, ("UT",))
        if day is not None and clock is not None:
            return _joined(day, clock)
    return None


def parse_instant(value: str) -> datetime | None:
    """Return ``YYYY-MM-DDThh:mm:ss[.s]`` (or with a blank between) as an aware UTC time, or None."""
    found = _ISO.match(value)
    if not found:
        return None
    day, clock = _date(found[1], found[2], found[3]), _time(found[4], found[5], found[6])
    return None if day is None or clock is None else _joined(day, clock)


def parse_date(value: str) -> date | None:
    """Return the date that a text begins with or is.

    Known forms: ``YYYY-MM-DD``, ``DD/MM/YY`` and ``DD/MM/YYY`` (years since 1900), ``YYYY-Mon-DD``.
    """
    if found := _DATE.match(value):
        return _date(found[1], found[2], found[3])
    if found := _SHORT_DATE.match(value):
        return _date(str(1900 + int(found[3])), found[2], found[1])
    if found := _NAMED_MONTH.match(value):
        month = found[2].lower()
        return _date(found[1], str(_MONTHS.index(month) + 1), found[3]) if month in _MONTHS else None
    return None


def parse_any_date(value: str) -> date | None:
    """Return a date in any form that people and programs have used for release dates."""
    value = value.strip()
    found = parse_date(value)
    if found is not None:
        return found
    for form in _OTHER_DATES:
        if match := form.match(value):
            month = match["m"].lower()
            number = str(_MONTHS.index(month) + 1) if month in _MONTHS else month
            return _date(match["y"], number, match["d"])
    return None


def parse_time(value: Value) -> time | None:
    """Return ``h:m:s[.s]`` as a time of day, or None."""
    found = _TIME.fullmatch(_stripped(value))
    return _time(found[1], found[2], found[3]) if found else None


def seconds_since_2000(instant: datetime) -> int:
    """Return whole seconds since 2000-01-01T00:00:00 UTC, rounded down."""
    return (instant - _EPOCH) // timedelta(seconds=1)


def decimal_year(instant: datetime) -> float:
    """Return a time as year and fraction of that year."""
    start = datetime(instant.year, 1, 1, tzinfo=UTC)
    length = datetime(instant.year + 1, 1, 1, tzinfo=UTC) - start
    return instant.year + (instant - start) / length


def _stripped(value: Value) -> str:
    return (as_text(value) or "").strip() if isinstance(value, str) else ""


def _first_time(cards: Cards, keys: Iterable[str]) -> time | None:
    for key in keys:
        clock = parse_time(cards.get(key))
        if clock is not None:
            return clock
    return None


def _date_in_names(names: Iterable[str]) -> date | None:
    for name in names:
        digits = name[1:9]
        if len(digits) == 8 and digits.isdigit() and int(digits[:4]) > 1999:
            day = _date(digits[:4], digits[4:6], digits[6:8])
            if day is not None:
                return day
    return None


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _time(hour: str, minute: str, second: str) -> time | None:
    whole, _, fraction = second.partition(".")
    try:
        return time(int(hour), int(minute), int(whole), int(fraction[:6].ljust(6, "0")))
    except ValueError:
        return None


def _joined(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=UTC)


def _after(start: datetime, days: float) -> datetime | None:
    try:
        return start + timedelta(days=days)
    except OverflowError:
        return None
