"""Versions of files for the routes that tell of them: the query, the entry in a list, the one of a name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

from fastapi import HTTPException
from sqlalchemy import ColumnElement, Date, Row, Select, case, cast, func, select

from fits_dagster.ledger.tables import work_item
from fits_dagster.nights import FileKey
from fits_dagster.records.tables import HEADER_COLUMNS, diskfile, file, header, miscfile, obslog
from fits_dagster.sites import Site
from fits_dagster.stages.registry import all_stages, way_to

__all__ = ["NO_CACHE", "file_entry", "find_version", "header_values", "key_of", "versions_query"]

NO_CACHE: Final = {"Cache-Control": "no-cache"}

_VERSION_COLUMNS: Final = tuple(c for c in diskfile.columns if c.name not in ("id", "file_id"))
_ALWAYS: Final = date(1990, 1, 1)
#: Headers besides that of the version.
_told: Final = header.alias()
#: In rows of :func:`versions_query`: behind the name, the version's id and columns, and what is pending.
_FIRST_HEADER_COLUMN: Final = 3 + len(_VERSION_COLUMNS)


def versions_query() -> Select[Any]:
    """Select versions of files with all that their entries and records are made of, in no order."""
    pending = (
        select(func.count())
        .where(
            # what has been received and not yet stored will be ingested
            work_item.c.stage.in_(_way_in()),
            work_item.c.state.in_(("waiting", "running")),
            work_item.c.path == diskfile.c.path,
            work_item.c.filename.in_((file.c.name, file.c.name + ".bz2")),
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
    ).select_from(diskfile.join(file).outerjoin(header, header.c.diskfile_id == diskfile.c.id))


@cache
def _way_in() -> Sequence[str]:
    """Return the stages behind which a version is in a database, and that one."""
    stages = list(all_stages().values())
    arrival = next(stage for stage in stages if stage.is_arrival)
    return [stage.name for stage in way_to(stages, arrival)]


def _release() -> ColumnElement[date]:
    """Return the date from which a version is public, if it is not always.

    An observing log is public when the program's data of its date are; without any it is at once.
    """
    of_data = select(func.max(_told.c.release)).where(
        _told.c.program_id == obslog.c.program_id,
        _told.c.ut_datetime >= obslog.c.date,
        _told.c.ut_datetime < obslog.c.date + 1,
    )
    of_log = select(func.coalesce(of_data.scalar_subquery(), _ALWAYS)).where(
        obslog.c.diskfile_id == diskfile.c.id
    )
    of_other = select(cast(miscfile.c.release, Date)).where(miscfile.c.diskfile_id == diskfile.c.id)
    of_text = func.coalesce(of_log.scalar_subquery(), of_other.scalar_subquery())
    return case((header.c.id.is_(None), of_text), else_=header.c.release)


def file_entry(row: Row[Any]) -> dict[str, Any]:
    """Return the entry of a version in a list of files."""
    return {
        "name": row.name,
        "filename": row.filename,
        "path": row.path,
        "compressed": row.compressed,
        "file_size": row.file_size,
        "data_size": row.data_size,
        "file_md5": row.file_md5,
        "data_md5": row.data_md5,
        "lastmod": _time(row.lastmod),
        "mdready": row.mdready,
        "entrytime": _time(row.entrytime),
        "present": row.present,
        "canonical": row.canonical,
        "size": row.file_size,
        "md5": row.file_md5,
        "pending_ingest": row.pending > 0,
    }


def header_values(row: Row[Any]) -> dict[str, Any]:
    """Return the record of a version, numbers as JSON has them."""
    values = row[_FIRST_HEADER_COLUMN : _FIRST_HEADER_COLUMN + len(HEADER_COLUMNS)]
    return dict(zip(HEADER_COLUMNS, map(_plain, values), strict=True))


def key_of(row: Row[Any]) -> str:
    """Return the key of a version in the store."""
    return str(FileKey(row.path, row.filename))


def find_version(site: Site, rest: str, *, canonical: bool = False) -> Row[Any]:
    """Find one version by ``[path/]name``: as asked, in the other compression, then whatever its path.

    Parameters
    ----------
    canonical
        Look among the current versions, not among those that are there; the name may lack its ``.fits``.

    Raises
    ------
    fastapi.HTTPException
        404 when there is none, 400 when several fit.
    """
    path, _, name = rest.rpartition("/")
    if canonical and ".fits" not in name:
        name = f"{name}.fits"
    if not name or "\x00" in rest:
        raise HTTPException(404, "no such file")
    other = name.removesuffix(".bz2") if name.endswith(".bz2") else f"{name}.bz2"
    flag = diskfile.c.canonical if canonical else diskfile.c.present
    attempts = [(name, path), (other, path), (name, None), (other, None)]
    with site.engine.connect() as connection:
        for filename, directory in attempts:
            query = versions_query().where(flag, diskfile.c.filename == filename)
            if directory is not None:
                query = query.where(diskfile.c.path == directory)
            rows = connection.execute(query.limit(2)).all()
            if len(rows) > 1:
                raise HTTPException(400, "several files have this name; give the path")
            if rows:
                return rows[0]
    raise HTTPException(404, "no such file")


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _time(value: datetime) -> str:
    return value.isoformat(sep=" ")
