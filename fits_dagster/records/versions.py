"""Versions of files with their records: the one query behind lists, tables, feeds and single files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Date, Row, Select, case, cast, column, func, select, table

from fits_dagster.records.tables import HEADER_COLUMNS, diskfile, file, header, miscfile, obslog

__all__ = ["header_values", "versions_query"]

#: The ledger's table, of which this room knows these columns.
_work_item: Final = table("work_item", *map(column, ("stage", "state", "path", "filename")))
_stage, _state, _path, _filename = _work_item.c
_VERSION_COLUMNS: Final = tuple(c for c in diskfile.columns if c.name not in ("id", "file_id"))
_ALWAYS: Final = date(1990, 1, 1)
#: Headers besides that of the version.
_data: Final = header.alias()
#: In rows of :func:`versions_query`: behind the name, the version's id and columns, and what is pending.
_FIRST_HEADER_COLUMN: Final = 3 + len(_VERSION_COLUMNS)


def versions_query(way_in: Sequence[str]) -> Select[Any]:
    """Select versions of files with all that their entries and records are made of, in no order.

    Parameters
    ----------
    way_in
        Stages that a file is at before its version is in the database: then its ingest is pending.
    """
    pending = (
        select(func.count())
        .where(
            # what has been received and not yet stored will be ingested
            _stage.in_(way_in),
            _state.in_(("waiting", "running")),
            _path == diskfile.c.path,
            _filename.in_((file.c.name, file.c.name + ".bz2")),
        )
        .scalar_subquery()
    )
    return select(
        file.c.name,
        diskfile.c.id.label("diskfile_id"),
        *_VERSION_COLUMNS,
        pending.label("pending"),
        *[
            (_release() if name == "release" else header.c[name]).label(f"header_{name}")
            for name in HEADER_COLUMNS
        ],
        _program().label("program"),
    ).select_from(diskfile.join(file).outerjoin(header, header.c.diskfile_id == diskfile.c.id))


def _release() -> ColumnElement[date]:
    """Return the date from which a version is public, if it is not always.

    An observing log is public when the program's data of its date are; without any it is at once.
    """
    of_data = select(func.max(_data.c.release)).where(
        _data.c.program_id == obslog.c.program_id,
        _data.c.ut_datetime >= obslog.c.date,
        _data.c.ut_datetime < obslog.c.date + 1,
    )
    of_log = select(func.coalesce(of_data.scalar_subquery(), _ALWAYS)).where(
        obslog.c.diskfile_id == diskfile.c.id
    )
    of_other = select(cast(miscfile.c.release, Date)).where(miscfile.c.diskfile_id == diskfile.c.id)
    of_text = func.coalesce(of_log.scalar_subquery(), of_other.scalar_subquery())
    return case((header.c.id.is_(None), of_text), else_=header.c.release)


def _program() -> ColumnElement[str]:
    """Return the program that a version belongs to, a log or another text included."""
    of_log = select(obslog.c.program_id).where(obslog.c.diskfile_id == diskfile.c.id)
    of_other = select(miscfile.c.program_id).where(miscfile.c.diskfile_id == diskfile.c.id)
    of_text = func.coalesce(of_log.scalar_subquery(), of_other.scalar_subquery())
    return case((header.c.id.is_(None), of_text), else_=header.c.program_id)


def header_values(row: Row[Any]) -> dict[str, Any]:
    """Return the record of a version, numbers as JSON has them."""
    values = row[_FIRST_HEADER_COLUMN : _FIRST_HEADER_COLUMN + len(HEADER_COLUMNS)]
    return dict(zip(HEADER_COLUMNS, map(_plain, values), strict=True))


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value
