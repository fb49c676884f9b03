"""``orderby``: the order in which a selection is listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, case

from fits_dagster.records.selection.values import BadSelectionError
from fits_dagster.records.tables import diskfile, file, header

__all__ = [
    "BY_NAME",
    "ORDER_COLUMNS",
    "Ordering",
    "column_of",
    "order_by",
    "read_ordering",
    "read_orderings",
]

#: Columns that may be named.
ORDER_COLUMNS: Final[Mapping[str, Column[Any]]] = {
    "filename": file.c.name,
    "lastmod": diskfile.c.lastmod,
    "entrytime": diskfile.c.entrytime,
    "detector_binning": header.c.detector_binning,
    **{
        name: header.c[name]
        for name in (
            *("instrument", "data_label", "observation_class", "observation_type", "airmass", "ut_datetime"),
            *("local_time", "raw_iq", "raw_cc", "raw_bg", "raw_wv", "qa_state", "filter_name"),
            *("exposure_time", "object", "disperser", "focal_plane_mask", "ra", "dec", "central_wavelength"),
        )
    },
}
#: An order by these would tell where a frame points.
_POSITIONS: Final = frozenset({"ra", "dec", "airmass", "object"})


@dataclass(frozen=True)
class Ordering:
    """One column, and which way."""

    column: str
    is_descending: bool = False


#: The order of a list for which none is asked.
BY_NAME: Final = Ordering("filename")


def read_ordering(text: str) -> Ordering | None:
    """Read ``column``, ``column_asc`` or ``column_desc``; None if there is no such column."""
    column, is_descending = text, False
    for ending in ("_asc", "_desc"):
        if text.endswith(ending):
            column, is_descending = text.removesuffix(ending), ending == "_desc"
    return Ordering(column, is_descending) if column in ORDER_COLUMNS else None


def read_orderings(text: str) -> tuple[Ordering, ...]:
    """Read one column of an order, as a value in a selection.

    Raises
    ------
    BadSelectionError
        There is no such column.
    """
    found = read_ordering(text)
    if found is None:
        raise BadSelectionError(f"there is no order by {text!r}; there is {', '.join(ORDER_COLUMNS)}")
    return (found,)


def column_of(ordering: Ordering, hidden: ColumnElement[bool] | None) -> ColumnElement[Any]:
    """Return what an order goes by, without the values of hidden rows from which a position would follow."""
    column: ColumnElement[Any] = ORDER_COLUMNS[ordering.column]
    if hidden is not None and ordering.column in _POSITIONS:
        return case((hidden, None), else_=column)
    return column


def order_by(
    orderings: Sequence[Ordering], *, is_open: bool, hidden: ColumnElement[bool] | None = None
) -> list[ColumnElement[Any]]:
    """Return the order of a list: what was asked for, else by name; then by time; then by version.

    Parameters
    ----------
    is_open
        An open selection has the newest first.
    hidden
        Condition of the rows whose position must not show, not even in the order.
    """
    terms: list[ColumnElement[Any]] = []
    for each in orderings or (BY_NAME,):
        column = column_of(each, hidden)
        terms.append((column.desc() if each.is_descending else column.asc()).nulls_last())
    time = header.c.ut_datetime
    terms.append((time.desc() if is_open else time.asc()).nulls_last())
    return [*terms, diskfile.c.id.asc()]
