"""Dates and times of observation. Source: Gemini header conventions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from fits_dagster.fits.cards import Cards, Value

from .time_scales import to_utc
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

_ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T| +)(\d\d?):(\d\d?)(?::(\d\d?(?:\.\d*)?))?"
    r" *(?P<zone>Z|UTC?|GMT|HST|[+-]\d\d(?::?\d\d)?)?"
)
_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_SHORT_DATE: Final = re.compile(r"(\d\d)/(\d\d)/(\d\d\d?)")
_NAMED_MONTH: Final = re.compile(r"(\d{4})-([A-Za-z]{3})-(\d\d)")
_OTHER_DATES: Final = (
    re.compile(r"(?P<y>\d{4})[/.](?P<m>\d\d?)[/.](?P<d>\d\d?)"),
    re.compile(r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)(?!\d)"),
    re.compile(r"(?P<d>\d\d?)[- ](?P<m>[A-Za-z]{3})[a-z]*[- ](?P<y>\d{4})"),
)
_TIME: Final = re.compile(r"(\d\d?):(\d\d?)(?::(\d\d?(?:\.\d*)?))? *(?:Z|UTC?|GMT)?")
_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MJD_ZERO: Final = datetime(1858, 11, 17, tzinfo=UTC)
_DATE_KEYWORDS: Final = ("DATE-OBS", "DATE", "UTDATE")
_TIME_KEYWORDS: Final = ("UT", "TIME-OBS", "STARTUT", "UTSTART")
#: The keywords whose time scale is that of TIMESYS; the others are UT by their names.
_SCALED_DATE, _SCALED_TIME = "DATE-OBS", "TIME-OBS"
#: Years in which an observation may have been made.
FIRST_YEAR: Final = 1970
END_YEAR: Final = 2100
_DAY: Final = timedelta(days=1)
_ZONES: Final = {"Z": 0, "UT": 0, "UTC": 0, "GMT": 0, "HST": -10}


def ut_datetime(
    primary: Cards, extensions: Iterable[Cards], filename: str, findings: list[str] | None = None
) -> datetime | None:
    """Return the UTC start of an observation by the general rule.

    Parameters
    ----------
    primary : Cards
        Primary header.
    extensions : iterable of Cards
        Extension headers; their ``FRMNAME`` is a last resort for the date.
    filename : str
        The other last resort.
    findings : list of str, optional
        Gets a line for each value that is not as it should be, and for what stands in for a value.

    Returns
    -------
    datetime or None
        Aware, UTC. None if no date can be found, or if there is a time of day that cannot be read.
    """
    noted = [] if findings is None else findings
    day: date | None = None
    for key in _DATE_KEYWORDS:
        found = _stripped(primary.get(key))
        instant = parse_instant(found)
        if instant is not None:
            if _is_possible(instant):
                return _in_utc(instant, primary, noted) if key == _SCALED_DATE else instant
            noted.append(f"{key}: {found!r} cannot be the time of an observation")
            continue
        day = parse_date(found)
        if day is not None and not FIRST_YEAR <= day.year < END_YEAR:
            noted.append(f"{key}: {found!r} cannot be the date of an observation")
            day = None
        if day is not None:
            if len(found) > len("YYYY-MM-DD") and _DATE.match(found):
                noted.append(f"{key}: the time of day in {found!r} cannot be read")
            break
    key, clock = _first_clock(primary, _TIME_KEYWORDS, noted)
    if day is not None and clock is not None:
        joined = _joined(day, clock)
        return _in_utc(joined, primary, noted) if key == _SCALED_TIME else joined
    modified_julian = as_number(primary.get("MJD-OBS"))
    if modified_julian is not None and modified_julian > 1:
        instant = _after(_MJD_ZERO, modified_julian)
        if instant is not None and _is_possible(instant):
            return _in_utc(instant, primary, noted)
        noted.append(f"MJD-OBS: {modified_julian!r} cannot be the time of an observation")
    started = parse_instant(_stripped(primary.get("OBSSTART")))
    if started is not None and _is_possible(started):
        return started
    if day is not None and key:
        return None  # a wrong time is worse than none
    if day is None:
        names = [_stripped(cards.get("FRMNAME")) for cards in extensions]
        day = _date_in_names([*names, filename])
    if day is None:
        return None
    if clock is None:
        noted.append("ut_datetime: no time of day; midnight stands in for it")
    return _joined(day, clock or timedelta())


def utdate_and_ut(
    primary: Cards, first_extension: Cards | None, findings: list[str] | None = None
) -> datetime | None:
    """Return UTDATE joined with UT, of the primary header or else of extension 0."""
    noted = [] if findings is None else findings
    for cards in (primary, first_extension):
        if cards is None:
            continue
        day, (_, clock) = parse_date(_stripped(cards.get("UTDATE"))), _first_clock(cards, ("UT",), noted)
        if day is not None and clock is not None and FIRST_YEAR <= day.year < END_YEAR:
            return _joined(day, clock)
    return None


def parse_instant(value: str) -> datetime | None:
    """Return ``YYYY-MM-DDThh:mm[:ss[.s]]`` (or with a blank between) as an aware UTC time, or None.

    ``Z`` and offsets as ``+hh:mm`` are taken into account; second 60 and 24:00:00 belong to what follows.
    """
    found = _ISO.fullmatch(value)
    if not found:
        return None
    day, clock = _date(found[1], found[2], found[3]), _clock(found[4], found[5], found[6] or "0")
    offset = _offset(found["zone"] or "Z")
    if day is None or clock is None or offset is None:
        return None
    try:
        return _joined(day, clock) - offset
    except OverflowError:
        return None


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
    """Return ``h:m[:s[.s]]`` as a time of day, or None."""
    found = _TIME.fullmatch(_stripped(value))
    clock = _clock(found[1], found[2], found[3] or "0") if found else None
    return None if clock is None or clock >= _DAY else (_EPOCH + clock).time()


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


def _first_clock(cards: Cards, keys: Iterable[str], noted: list[str]) -> tuple[str, timedelta | None]:
    """Return the first time of day that can be read, with its keyword.

    Where none can be, the keyword is that of the first which holds something like a time; else empty.
    """
    unreadable = ""
    for key in keys:
        value = cards.get(key)
        if isinstance(value, str):
            found = _TIME.fullmatch(_stripped(value))
            clock = _clock(found[1], found[2], found[3] or "0") if found else None
        else:
            clock = None
        if clock is None and (hours := as_number(value)) is not None and 0 <= hours <= 24:
            noted.append(f"{key}: the number {hours} is taken for hours")
            clock = timedelta(hours=hours)
        if clock is not None:
            return key, clock
        if any(letter.isdigit() for letter in str(value or "")):
            noted.append(f"{key}: {value!r} is no time of day")
            unreadable = unreadable or key
    return unreadable, None


def _in_utc(instant: datetime, cards: Cards, noted: list[str]) -> datetime | None:
    """Turn a time in the scale that TIMESYS names into UTC."""
    scale = _stripped(cards.get("TIMESYS"))
    found = to_utc(instant, scale)
    if found is None:
        noted.append(f"ut_datetime: the time scale {scale!r} is not known")
    elif found != instant:
        noted.append(f"ut_datetime: turned from {scale} into UTC")
    return found


def _is_possible(instant: datetime) -> bool:
    return FIRST_YEAR <= instant.year < END_YEAR


def _offset(zone: str) -> timedelta | None:
    if zone in _ZONES:
        return timedelta(hours=_ZONES[zone])
    hours, minutes = int(zone[1:3]), int(zone[3:].removeprefix(":") or 0)
    if hours > 14 or minutes > 59:
        return None
    size = timedelta(hours=hours, minutes=minutes)
    return -size if zone[0] == "-" else size


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


def _clock(hour: str, minute: str, second: str) -> timedelta | None:
    """Return the time since midnight; a leap second and 24:00:00 are there, what cannot be is None."""
    whole, _, fraction = second.partition(".")
    hours, minutes, seconds = int(hour), int(minute), int(whole)
    micro = int(fraction[:6].ljust(6, "0"))
    clock = timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micro)
    if minutes > 59 or seconds > 60 or (hours > 23 and clock != _DAY):
        return None
    return clock


def _joined(day: date, clock: timedelta) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC) + clock


def _after(start: datetime, days: float) -> datetime | None:
    try:
        return start + timedelta(days=days)
    except OverflowError:
        return None
