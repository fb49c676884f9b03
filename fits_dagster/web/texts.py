"""Texts about one file, and its preview: ``/fullheader``, ``/fitsverify``, ``/mdreport``, ``/history``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import PlainTextResponse, Response
from PIL import Image
from sqlalchemy import Column

from fits_dagster.fits.provenance import Provenance, read_provenance
from fits_dagster.fits.reading import read_headers
from fits_dagster.records.files import text_query
from fits_dagster.records.tables import diskfile_report, fulltextheader, preview
from fits_dagster.stages.preview import preview_key
from fits_dagster.web.access import site_of
from fits_dagster.web.answers import content_disposition, tagged_answer
from fits_dagster.web.shapes import content
from fits_dagster.web.versions import NO_CACHE, find_version, key_of
from fits_dagster.web.visibility import viewer_of

__all__ = ["router"]

router = APIRouter()

#: Widths of previews that may be asked for.
_LEAST_PX, _MOST_PX = 16, 2000


@router.get("/fullheader/{rest:path}", response_class=PlainTextResponse)
def full_header(request: Request, rest: str) -> Response:
    """Send the text of all headers of a file's canonical version."""
    return _text(request, rest, fulltextheader.c.fulltext, "")


@router.get("/fitsverify/{rest:path}", response_class=PlainTextResponse)
def fits_verify(request: Request, rest: str) -> Response:
    """Send what the structural verification found in a file's canonical version."""
    return _text(request, rest, diskfile_report.c.fvreport, "nothing to report\n")


@router.get("/mdreport/{rest:path}", response_class=PlainTextResponse)
def metadata_report(request: Request, rest: str) -> Response:
    """Send which fields of a file's record could not be computed, and why."""
    return _text(request, rest, diskfile_report.c.mdreport, "nothing to report\n")


@router.get("/history/{rest:path}", response_class=PlainTextResponse)
def reduction_history(request: Request, rest: str) -> Response:
    """Send what a reduced file says of its inputs and of the steps of its reduction."""
    site = site_of(request)
    row = find_version(site, rest, canonical=True)
    viewer_of(request).require_position(row)
    if row.header_reduction in (None, "RAW"):
        return PlainTextResponse("this file is not reduced\n", headers=NO_CACHE)
    try:
        with site.store.local(key_of(row)) as path:
            found = read_provenance(path, read_headers(path))
    except FileNotFoundError as error:
        raise HTTPException(410, "the file is no longer in the store; please tell the staff") from error
    except OSError as error:
        raise HTTPException(503, "the store cannot be read now") from error
    return PlainTextResponse("\n".join(_history_lines(found)) + "\n", headers=NO_CACHE)


def _history_lines(found: Provenance) -> Iterator[str]:
    yield "--- Inputs ---"
    for source in found.inputs:
        yield "  ".join(
            (_moment(source.timestamp), source.filename, source.md5 or "-", source.added_by or "-")
        )
    yield "--- Steps ---"
    for step in found.steps:
        times = f"{_moment(step.timestamp_start)}  {_moment(step.timestamp_end)}"
        yield f"{times}  {step.primitive}  {step.args or ''}".rstrip()
    yield from found.problems


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else moment.replace(tzinfo=None).isoformat(sep=" ")


def _text(request: Request, rest: str, column: Column[Any], nothing: str) -> Response:
    site = site_of(request)
    row = find_version(site, rest, canonical=True)
    # a report quotes cards and values, too
    viewer_of(request).require_position(row)
    with site.engine.connect() as connection:
        found = connection.scalar(text_query(column, row.diskfile_id))
    return PlainTextResponse(found or nothing, headers=NO_CACHE)


@router.get("/preview/{rest:path}", response_class=Response, responses=content("image/jpeg"))
def get_preview(
    request: Request,
    rest: str,
    width: Annotated[
        int | None, Query(ge=_LEAST_PX, le=_MOST_PX, description="Pixels at most; by default as it was made.")
    ] = None,
) -> Response:
    """Send the preview picture of a file's canonical version, smaller if that is asked for."""
    site = site_of(request)
    row = find_version(site, rest, canonical=True)
    viewer_of(request).require_file(row)
    with site.engine.connect() as connection:
        there = connection.scalar(text_query(preview.c.filename, row.diskfile_id))
    if there is None:
        raise HTTPException(404, "this file has no preview")
    try:
        with site.store.local(preview_key(site, row.path, row.filename)) as picture:
            content = picture.read_bytes() if width is None else _smaller(picture, width)
    except FileNotFoundError as error:
        raise HTTPException(404, "the preview of this file is no longer there") from error
    name = there.rpartition("/")[2]
    return tagged_answer(
        request, content, "image/jpeg", {"Content-Disposition": content_disposition(name, "inline")}
    )


def _smaller(picture: Path, width: int) -> bytes:
    """Return a JPEG that is no wider than asked for, nor than twice as high as it is wide."""
    with Image.open(picture) as whole:
        # the decoder leaves out what nobody will see
        whole.draft(None, (width, width))
        whole.thumbnail((width, 2 * width))
        body = io.BytesIO()
        whole.save(body, "JPEG", quality=80)
    return body.getvalue()
