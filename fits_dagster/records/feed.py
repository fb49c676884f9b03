"""The change feed: what has come, in the order in which it came, in pages that miss nothing.

A version's time of entry is that of the beginning of the transaction that writes it, so one with an earlier
time may become visible after one with a later time. A harvester that goes on from the last time it has seen
would miss it. Therefore the feed tells nothing that came after the beginning of the oldest transaction which
may still write; what is held back comes with the next question. It waits a little for such transactions if
the time asked for is over.

A page is continued by its cursor, the place behind its last row: nothing is told twice, and nothing is left
out, whatever arrives meanwhile.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, tuple_

from fits_dagster.records.horizon import settled_until
from fits_dagster.records.selection import BadSelectionError
from fits_dagster.records.selection.times import Span
from fits_dagster.records.tables import diskfile

__all__ = ["FeedPage", "cursor_at", "read_page"]

#: Longest time that an answer waits for transactions that began before its end.
_WAIT_S: Final = 3.0
_LOOK_S: Final = 0.05
_CURSOR: Final = re.compile(r"(\d{1,17})\.(\d{1,18})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class FeedPage:
    """Some rows of the feed."""

    rows: list[Row[Any]]
    is_cut: bool
    #: Everything before this time, and before the last row if the page is cut, has been told.
    complete_until: datetime
    #: Where the next page begins.
    cursor: str


def read_page(
    connection: Connection, query: Select[Any], *, cursor: str | None, span: Span | None, limit: int
) -> FeedPage:
    """Read a page of the feed.

    Parameters
    ----------
    query
        The versions that are asked for, in no order.
    cursor
        Of the page before; empty for the first.
    span
        Times that are asked for, if some are.

    Raises
    ------
    BadSelectionError
        The cursor is none.
    """
    after = _read_cursor(cursor) if cursor else None
    until = _settled(connection, span.end if span is not None else None)
    ordered = query.where(diskfile.c.entrytime < until).order_by(diskfile.c.entrytime, diskfile.c.id)
    if after is not None:
        ordered = ordered.where(
            diskfile.c.entrytime >= after[0], tuple_(diskfile.c.entrytime, diskfile.c.id) > after
        )
    rows = list(connection.execute(ordered.limit(limit + 1)).all())
    is_cut, rows = len(rows) > limit, rows[:limit]
    if is_cut and not cursor:
        rows, is_cut = _up_to_another_time(connection, ordered, rows, limit)
    last = (rows[-1].entrytime, rows[-1].diskfile_id) if rows else after
    complete = min(until, span.end) if span is not None else until
    return FeedPage(rows, is_cut, rows[-1].entrytime if is_cut else complete, _write_cursor(last))


def cursor_at(moment: datetime, number: int = 0) -> str:
    """Return the cursor of a place: behind a version, by its time of entry and its row, or before a time."""
    return _write_cursor((moment, number))


def _up_to_another_time(
    connection: Connection, query: Select[Any], rows: list[Row[Any]], limit: int
) -> tuple[list[Row[Any]], bool]:
    """Let a page end where a time ends, and hold two times at least; returns it, and whether it is cut.

    A harvester that goes on from the last time it has seen must not be kept at one that more versions share
    than a page has.
    """
    while True:
        last = rows[-1]
        at_once = diskfile.c.entrytime == last.entrytime
        rows += connection.execute(query.where(at_once, diskfile.c.id > last.diskfile_id)).all()
        rest = query.where(diskfile.c.entrytime > last.entrytime)
        if rows[0].entrytime != last.entrytime:
            return rows, bool(connection.execute(rest.limit(1)).all())
        more = connection.execute(rest.limit(limit)).all()
        if not more:
            return rows, False
        rows += more


def _settled(connection: Connection, end: datetime | None) -> datetime:
    """Return the time before which no version will come any more; wait for it to reach a past end."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        until = settled_until(connection)
        is_over = end is not None and end <= datetime.now(UTC)
        if not is_over or (end is not None and until >= end) or time.monotonic() > deadline:
            return until
        time.sleep(_LOOK_S)


def _read_cursor(text: str) -> tuple[datetime, int]:
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise BadSelectionError(f"{text!r} is no cursor of an earlier page")
    return _EPOCH + int(found[1]) * _MICROSECOND, int(found[2])


def _write_cursor(place: tuple[datetime, int] | None) -> str:
    return "0.0" if place is None else f"{(place[0] - _EPOCH) // _MICROSECOND}.{place[1]}"
