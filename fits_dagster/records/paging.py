"""Lists of versions in pages, in the order of a column; a page begins behind the last row of the one before.

Whatever comes or goes meanwhile, no row that stays is told twice or left out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select, tuple_

from fits_dagster.records.selection import BadSelectionError, Ordering
from fits_dagster.records.selection.ordering import BY_NAME, column_of
from fits_dagster.records.tables import diskfile

__all__ = ["COUNTED", "Page", "count_up_to", "read_page"]

#: Rows of a selection that are counted at most.
COUNTED: Final = 2_000
_LONGEST: Final = 1000
_READERS: Final[Mapping[type, Callable[[str], Any]]] = {
    str: str,
    int: int,
    datetime: datetime.fromisoformat,
    time: time.fromisoformat,
    Decimal: Decimal,
}


@dataclass(frozen=True)
class Page:
    """Some rows of a list."""

    rows: list[Row[Any]]
    #: Where the next page begins; None on the last one.
    cursor: str | None


def read_page(
    connection: Connection,
    query: Select[Any],
    *,
    ordering: Ordering | None = None,
    hidden: ColumnElement[bool] | None = None,
    cursor: str | None = None,
    limit: int,
) -> Page:
    """Read a page.

    Parameters
    ----------
    query
        The versions that are asked for, in no order.
    ordering
        By default the order of names.
    hidden
        Condition of the rows whose position must not show, not even in the order.
    cursor
        Of the page before; None or empty for the first.

    Raises
    ------
    BadSelectionError
        The cursor is none, or one of another order.
    """
    order = ordering or BY_NAME
    column = column_of(order, hidden)
    placed = query.add_columns(column.label("place"))
    behind = _read_cursor(cursor, order) if cursor else None
    rows: list[Row[Any]] = []
    if behind is None or behind[0] is not None:
        # in this form, without the missing values, an index gives the rows in their order
        known = placed.where(column.is_not(None)).order_by(
            column.desc() if order.is_descending else column.asc(), diskfile.c.id
        )
        if behind is not None:
            known = known.where(_behind(order, column, *behind))
        rows += connection.execute(known.limit(limit + 1)).all()
    if len(rows) <= limit and order != BY_NAME:
        missing = placed.where(column.is_(None)).order_by(diskfile.c.id)
        if behind is not None and behind[0] is None:
            missing = missing.where(diskfile.c.id > behind[1])
        rows += connection.execute(missing.limit(limit + 1 - len(rows))).all()
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], _write_cursor(order, last.place, last.diskfile_id))


def count_up_to(connection: Connection, query: Select[Any], most: int = COUNTED) -> int:
    """Count the rows of a query; ``most + 1`` says that there are more than so many."""
    few = query.with_only_columns(diskfile.c.id).limit(most + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(few)).scalar_one())


def _behind(order: Ordering, column: ColumnElement[Any], value: Any, number: int) -> ColumnElement[bool]:
    """Return the condition of the rows behind one of them, among those that have a value."""
    at_least = column <= value if order.is_descending else column >= value
    if not order.is_descending:
        # this form is one walk through an index
        return and_(at_least, tuple_(column, diskfile.c.id) > (value, number))
    return and_(at_least, or_(column < value, diskfile.c.id > number))


def _write_cursor(order: Ordering, value: Any, number: int) -> str:
    shown = value.isoformat() if isinstance(value, datetime | time) else None if value is None else str(value)
    text = json.dumps([order.column, order.is_descending, shown, number], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(text: str, order: Ordering) -> tuple[Any, int]:
    try:
        if len(text) > _LONGEST:
            raise ValueError
        padded = text + "=" * (-len(text) % 4)
        column, is_descending, shown, number = json.loads(base64.urlsafe_b64decode(padded.encode()))
        if not isinstance(number, int) or not 0 <= number < 1 << 63:
            raise ValueError
        if (column, is_descending) != (order.column, order.is_descending):
            raise BadSelectionError("the cursor is one of another order; begin anew without it")
        if shown is None:
            return None, number
        value = _READERS[column_of(order, None).type.python_type](shown)
        if "\x00" in shown or (isinstance(value, Decimal) and not value.is_finite()):
            raise ValueError
        if isinstance(value, int) and not abs(value) < 1 << 63:
            raise ValueError
    except BadSelectionError:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise BadSelectionError(f"{text[:40]!r} is no cursor of an earlier page") from error
    return value, number
