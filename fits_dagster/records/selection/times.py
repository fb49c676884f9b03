"""Dates, nights and times in a selection."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from fits_dagster.records.selection.values import BadSelectionError

__all__ = ["Span", "day_in", "days_in", "read_day", "read_days", "read_moments"]

_DAY: Final = timedelta(days=1)
_FIRST_YEAR: Final = 1999
_LAST_YEAR: Final = 2100
#: What a date may look like; Python alone takes weeks and days of the year, too.
_FORM: Final = re.compile(
    r"(?P<day>\d{8}|\d{4}-\d\d-\d\d)(?P<clock>[T ]\d\d(?::?\d\d(?::?\d\d(?:\.\d{1,6})?)?)?"
    r"(?:Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_COMPACT: Final = re.compile(r"(\d{8}(?:T\d{4,6})?)-(\d{8}(?:T\d{4,6})?)", re.ASCII)
_WORDS: Final = {"today": 0, "now": 0, "yesterday": -1, "tomorrow": 1}


@dataclass(frozen=True)
class Span:
    """From a time on, to before another."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class _Moment:
    at: datetime
    #: Whether it says nothing but the day.
    is_day: bool


def read_day(text: str) -> Span:
    """Read a date, or a word for one, as the whole day.

    Raises
    ------
    BadSelectionError
        It is none, or there is no such date.
    """
    start = _midnight(_moment(text).at)
    return Span(start, start + _DAY)


def read_days(text: str) -> Span:
    """Read ``A-B`` or ``A--B``: the last day belongs to it; of two full times the last does not.

    Raises
    ------
    BadSelectionError
        It is no range of dates.
    """
    first, last = _two(text)
    return Span(first.at, last.at + _DAY if last.is_day else last.at)


def read_moments(text: str) -> Span:
    """Read ``A-B`` or ``A--B``, where the last day does not belong to it.

    Raises
    ------
    BadSelectionError
        It is no range of dates.
    """
    first, last = _two(text)
    return Span(first.at, last.at)


def day_in(text: str) -> Span | None:
    """Return the day that a bare word names, if it names one."""
    return _or_none(read_day, text)


def days_in(text: str) -> Span | None:
    """Return the days that a bare word names, if it names some."""
    return _or_none(read_days, text)


def _or_none(read: Callable[[str], Span], text: str) -> Span | None:
    try:
        return read(text)
    except BadSelectionError:
        return None


def _two(text: str) -> tuple[_Moment, _Moment]:
    """Split a range, the earlier first."""
    compact = _COMPACT.fullmatch(text)
    parts = list(compact.groups()) if compact else text.split("--")
    if len(parts) != 2:
        raise BadSelectionError(f"{text!r} is no range of dates, such as 20240101-20240131")
    first, last = sorted((_moment(part) for part in parts), key=lambda each: each.at)
    return first, last


def _moment(text: str) -> _Moment:
    if text in _WORDS:
        now = datetime.now(UTC)
        return _Moment(now if text == "now" else _midnight(now) + _WORDS[text] * _DAY, text != "now")
    form = _FORM.fullmatch(text)
    try:
        found = datetime.fromisoformat(text) if form else None
    except ValueError:
        found = None
    if form is None or found is None:
        raise BadSelectionError(f"{text!r} is no date")
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise BadSelectionError(f"{text!r} is not between {_FIRST_YEAR} and {_LAST_YEAR}")
    found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return _Moment(found, form["clock"] is None)


def _midnight(moment: datetime) -> datetime:
    day: date = moment.date()
    return datetime.combine(day, time(), UTC)
