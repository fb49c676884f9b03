"""Versions of files for the routes that tell of them: the query, the entry in a list, the one of a name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from fastapi import HTTPException
from sqlalchemy import Row, Select

from fits_dagster.nights import FileKey
from fits_dagster.records import versions as records
from fits_dagster.records.tables import diskfile
from fits_dagster.records.versions import header_values
from fits_dagster.sites import Site
from fits_dagster.stages.registry import all_stages, way_to

__all__ = ["NO_CACHE", "file_entry", "find_version", "header_values", "key_of", "versions_query"]

NO_CACHE: Final = {"Cache-Control": "no-cache"}


def versions_query() -> Select[Any]:
    """Select versions of files with all that their entries and records are made of, in no order."""
    return records.versions_query(_way_in())


@cache
def _way_in() -> Sequence[str]:
    """Return the stages behind which a version is in a database, and that one."""
    stages = list(all_stages().values())
    arrival = next(stage for stage in stages if stage.is_arrival)
    return [stage.name for stage in way_to(stages, arrival)]


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


def _time(value: datetime) -> str:
    return value.isoformat(sep=" ")
