"""Rows of the grammar about dates, nights and times."""

from __future__ import annotations

from typing import Final

from fits_dagster.records.selection import conditions as where
from fits_dagster.records.selection import times
from fits_dagster.records.selection.terms import Term
from fits_dagster.records.tables import diskfile, header

__all__ = ["TIME_TERMS"]

_DAY: Final = "date, or today, yesterday, tomorrow"
_RANGE: Final = "A-B or A--B"
_UT: Final = where.within(header.c.ut_datetime)

TIME_TERMS: Final[tuple[Term, ...]] = (
    Term(
        key="date",
        help="UTC date of the exposure. A bare date means this at the archive, and the night at a summit.",
        names=("date",),
        read=times.read_day,
        form=_DAY,
        recognise=times.day_in,
        night_key="night",
        where=_UT,
        closes=True,
        examples=("20251123", "2025-11-23", "today", "date=20251123"),
    ),
    Term(
        key="daterange",
        help="UTC dates, the last included; of two full times the last is not. Bare as above.",
        names=("daterange",),
        read=times.read_days,
        form=_RANGE,
        recognise=times.days_in,
        night_key="nightrange",
        where=_UT,
        closes=True,
        examples=(
            "20251122-20251124",
            "2025-11-23T10:00:00--2025-11-23T11:30:00",
            "daterange=20251122-20251124",
        ),
    ),
    Term(
        key="night",
        help="Label of the night: the UTC date in the North; in the South it begins six hours earlier.",
        names=("night",),
        read=times.read_day,
        form=f"{_DAY}; tonight and lastnight, by the clock of the site that is asked, stand bare",
        where=where.in_night,
        closes=True,
        examples=("night=20251123",),
    ),
    Term(
        key="nightrange",
        help="Labels of nights, the last included.",
        names=("nightrange",),
        read=times.read_days,
        form=_RANGE,
        where=where.in_night,
        closes=True,
        examples=("nightrange=20251122-20251124",),
    ),
    Term(
        key="entrytimedaterange",
        help="When the version came into the database, the end excluded: the change feed.",
        names=("entrytimedaterange",),
        read=times.read_moments,
        form=_RANGE,
        where=where.within(diskfile.c.entrytime),
        examples=(
            "entrytimedaterange=20251101-21000101",
            "entrytimedaterange=2025-11-23T10:00:00--2025-11-24",
        ),
    ),
    Term(
        key="lastmoddaterange",
        help="Time of the file itself, the end excluded.",
        names=("lastmoddaterange",),
        read=times.read_moments,
        form=_RANGE,
        where=where.within(diskfile.c.lastmod),
        examples=("lastmoddaterange=20251101-21000101",),
    ),
)
