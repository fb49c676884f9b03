"""``/api/v1/records`` and ``/api/v1/files``: records of a selection in pages, and one file."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import Row

from fits_dagster.records import paging
from fits_dagster.records.history import file_history
from fits_dagster.web.access import site_of
from fits_dagster.web.answers import json_answer
from fits_dagster.web.api.parameters import described, ordering_of, select_by_query
from fits_dagster.web.api.shapes import FileRecord, Records
from fits_dagster.web.versions import find_version, key_of, versions_query
from fits_dagster.web.visibility import Viewer, record_entry, viewer_of

__all__ = ["LIMIT", "MOST", "api_record", "next_address", "router"]

router = APIRouter()

#: Entries of a page, by default and at most.
LIMIT: Final = 100
MOST: Final = 1000

Limit = Annotated[int, Query(ge=1, le=MOST, description="Entries of a page.")]
Cursor = Annotated[str | None, Query(description="Of the page before, see `next`; empty for the first.")]


@router.get("/records", response_model=Records, openapi_extra=described())
def list_records(request: Request, limit: Limit = LIMIT, cursor: Cursor = None) -> Response:
    """List records of a selection, in pages; only of current versions unless asked otherwise."""
    selection = select_by_query(request, "limit", "cursor")
    viewer = viewer_of(request)
    with site_of(request).engine.connect() as connection:
        page = paging.read_page(
            connection,
            versions_query().where(selection.where),
            ordering=ordering_of(request),
            hidden=viewer.hidden_position(),
            cursor=cursor,
            limit=limit,
        )
    items = [api_record(request, row, viewer) for row in page.rows]
    return json_answer(request, {"items": items, "next": next_address(request, page.cursor)})


@router.get("/files/{rest:path}", response_model=FileRecord)
def one_file(request: Request, rest: str) -> Response:
    """Tell of a file, ``[path/]name``: the record of its current version, and its versions."""
    row = find_version(site_of(request), rest, canonical=True)
    with site_of(request).engine.connect() as connection:
        known = file_history(connection, row.name).versions
    versions = [
        {
            "filename": each.filename,
            "path": each.path,
            "present": each.present,
            "canonical": each.canonical,
            "file_md5": each.file_md5,
            "data_md5": each.data_md5,
            "entrytime": _time(each.entrytime),
            "lastmod": _time(each.lastmod),
        }
        for each in known
    ]
    record = api_record(request, row, viewer_of(request))
    return json_answer(request, {"record": record, "versions": versions})


def api_record(request: Request, row: Row[Any], viewer: Viewer) -> dict[str, Any]:
    """Return the record of a version with the addresses of what there is of it."""
    base = str(request.base_url).rstrip("/")
    key, sees = quote(key_of(row)), viewer.sees_file(row)
    place = quote(f"{row.path}/{row.name}" if row.path else row.name)
    links = {
        "record": f"{base}/api/v1/files/{place}",
        "page": f"{base}/about/{place}",
        "file": f"{base}/file/{key}" if sees and row.present else None,
        "preview": f"{base}/preview/{place}" if sees else None,
        "calibrations": f"{base}/api/v1/calibrations/{place}",
    }
    return {**record_entry(row, viewer), "links": links}


def next_address(request: Request, cursor: str | None) -> str | None:
    """Return the address of the page at a cursor."""
    return str(request.url.include_query_params(cursor=cursor)) if cursor is not None else None


def _time(moment: datetime) -> str:
    return moment.isoformat(sep=" ")
