"""Reading what the database and the store hold: file lists, summaries, files, previews, headers."""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from sqlalchemy import Column, Row, Select, func, select

from fits_dagster.database.queues import work_item
from fits_dagster.database.selection import path_elements, select_files
from fits_dagster.database.tables import diskfile, diskfile_report, file, fulltextheader, header, preview
from fits_dagster.dataflow.preview import preview_key
from fits_dagster.dataflow.site import Site
from fits_dagster.metadata import summary
from fits_dagster.web.access import current_person, site_of

__all__ = ["file_entry", "router", "versions_query"]

router = APIRouter()

_OPEN_LIMIT: Final = 500
_CLOSED_LIMIT: Final = 2000
_CHUNK: Final = 1 << 20
_NO_CACHE: Final = {"Cache-Control": "no-cache"}


@router.get("/jsonfilelist")
@router.get("/jsonfilelist/{rest:path}")
def json_file_list(request: Request, rest: str = "") -> JSONResponse:
    """List versions of files; ``present`` and ``canonical`` are not implied."""
    rows, _ = _select(request, "jsonfilelist", implied_canonical=False)
    return JSONResponse([file_entry(row) for row in rows], headers=_NO_CACHE)


@router.get("/jsonfilenames")
@router.get("/jsonfilenames/{rest:path}")
def json_file_names(request: Request, rest: str = "") -> JSONResponse:
    """List the names of the same files."""
    rows, _ = _select(request, "jsonfilenames", implied_canonical=False)
    return JSONResponse([{"name": row.name} for row in rows], headers=_NO_CACHE)


@router.get("/jsonsummary")
@router.get("/jsonsummary/{rest:path}")
def json_summary(request: Request, rest: str = "") -> JSONResponse:
    """List the records of files; only canonical versions unless the URL says otherwise."""
    rows, is_open = _select(request, "jsonsummary", implied_canonical=True, with_header=True)
    found = []
    for row in rows:
        record = {name: _plain(row._mapping[f"header_{name}"]) for name in _HEADER_NAMES}
        found.append({**summary(record, row.filename), **file_entry(row)})
    if found and is_open:
        found[-1]["results_truncated"] = True
    return JSONResponse(found, headers=_NO_CACHE)


@router.get("/file/{rest:path}")
def get_file(request: Request, rest: str) -> Response:
    """Send one file: stored bytes under the stored name, converted where the other form is asked for."""
    site = site_of(request)
    path, _, name = rest.rpartition("/")
    row = _one_version(site, path, name)
    if row is None:
        raise HTTPException(404, "no such file")
    _check_access(request, row)
    wants_compressed = name.endswith(".bz2")
    key = f"{row.path}/{row.filename}" if row.path else row.filename
    headers = {"Content-Disposition": f'attachment; filename="{name}"', **_NO_CACHE}
    if wants_compressed == row.compressed:
        headers["Content-Length"] = str(row.file_size)
    elif not wants_compressed:
        headers["Content-Length"] = str(row.data_size)
    return StreamingResponse(
        _content(site, key, compressed=row.compressed, wants_compressed=wants_compressed),
        media_type="application/fits",
        headers=headers,
    )


@router.get("/fullheader/{rest:path}")
def full_header(request: Request, rest: str) -> PlainTextResponse:
    """Send the text of all headers of a file's canonical version."""
    site = site_of(request)
    path, _, name = rest.rpartition("/")
    row = _one_version(site, path, name if ".fits" in name else f"{name}.fits", canonical=True)
    if row is None:
        raise HTTPException(404, "no such file")
    if row.header_proprietary_coordinates:
        _check_access(request, row)
    with site.engine.connect() as connection:
        text = connection.scalar(
            select(fulltextheader.c.fulltext).where(fulltextheader.c.diskfile_id == row.diskfile_id)
        )
    return PlainTextResponse(text or "", headers=_NO_CACHE)


@router.get("/fitsverify/{rest:path}")
def fits_verify(request: Request, rest: str) -> PlainTextResponse:
    """Send what the structural verification found in a file's canonical version."""
    return _report(request, rest, diskfile_report.c.fvreport)


@router.get("/mdreport/{rest:path}")
def metadata_report(request: Request, rest: str) -> PlainTextResponse:
    """Send which fields of a file's record could not be computed, and why."""
    return _report(request, rest, diskfile_report.c.mdreport)


def _report(request: Request, rest: str, column: Column[Any]) -> PlainTextResponse:
    site = site_of(request)
    path, _, name = rest.rpartition("/")
    row = _one_version(site, path, name if ".fits" in name else f"{name}.fits", canonical=True)
    if row is None:
        raise HTTPException(404, "no such file")
    with site.engine.connect() as connection:
        text = connection.scalar(select(column).where(diskfile_report.c.diskfile_id == row.diskfile_id))
    return PlainTextResponse(text or "nothing to report\n", headers=_NO_CACHE)


@router.get("/preview/{rest:path}")
def get_preview(request: Request, rest: str) -> Response:
    """Send the preview picture of a file's canonical version."""
    site = site_of(request)
    path, _, name = rest.rpartition("/")
    row = _one_version(site, path, name if ".fits" in name else f"{name}.fits", canonical=True)
    if row is None:
        raise HTTPException(404, "no such file")
    _check_access(request, row)
    with site.engine.connect() as connection:
        there = connection.scalar(select(preview.c.filename).where(preview.c.diskfile_id == row.diskfile_id))
    if there is None:
        raise HTTPException(404, "this file has no preview")
    with site.store.local(preview_key(site, row.path, row.filename)) as picture:
        return Response(
            picture.read_bytes(),
            media_type="image/jpeg",
            headers={"Content-Disposition": "inline", **_NO_CACHE},
        )


_HEADER_NAMES: Final = tuple(c.name for c in header.columns if c.name not in ("id", "diskfile_id"))


def versions_query() -> Select[Any]:
    """Select versions of files, by name, with all that their entries and records are made of."""
    pending = (
        select(func.count())
        .where(
            # what has been received and not yet stored will be ingested
            work_item.c.stage.in_(("store", "ingest")),
            work_item.c.state.in_(("waiting", "running")),
            work_item.c.path == diskfile.c.path,
            work_item.c.filename.in_((file.c.name, file.c.name + ".bz2")),
        )
        .scalar_subquery()
    )
    return (
        select(
            file.c.name,
            diskfile.c.id.label("diskfile_id"),
            *[c for c in diskfile.columns if c.name not in ("id", "file_id")],
            pending.label("pending"),
            *[header.c[name].label(f"header_{name}") for name in _HEADER_NAMES],
        )
        .select_from(diskfile.join(file).outerjoin(header, header.c.diskfile_id == diskfile.c.id))
        .order_by(file.c.name, diskfile.c.id)
    )


def _select(
    request: Request, feature: str, *, implied_canonical: bool, with_header: bool = False
) -> tuple[list[Row[Any]], bool]:
    site = site_of(request)
    elements = path_elements(request.scope.get("raw_path") or b"", feature)
    selection = select_files(elements, archive=site.name == "archive")
    if implied_canonical and "canonical" not in selection.conditions:
        selection.conditions["canonical"] = diskfile.c.canonical
    if with_header:
        selection.conditions["has_header"] = header.c.id.is_not(None)
    limit = _OPEN_LIMIT if selection.is_open else _CLOSED_LIMIT
    with site.engine.connect() as connection:
        rows = connection.execute(versions_query().where(selection.where).limit(limit)).all()
    return list(rows), selection.is_open


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


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _time(value: datetime) -> str:
    return value.isoformat(sep=" ")


def _one_version(site: Site, path: str, name: str, *, canonical: bool = False) -> Row[Any] | None:
    """Find one version by name: as asked, in the other compression, then whatever its path.

    Raises
    ------
    fastapi.HTTPException
        400 when several fit.
    """
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
    return None


def _check_access(request: Request, row: Row[Any]) -> None:
    """Let through what is public: engineering data, and what has been released; the rest is for staff."""
    release = row.header_release
    if row.header_engineering or (release is not None and release <= datetime.now(UTC).date()):
        return
    person = current_person(request)
    if person is None or not person.may("staff"):
        raise HTTPException(403, "not released yet: please log in")


def _content(site: Site, key: str, *, compressed: bool, wants_compressed: bool) -> Iterator[bytes]:
    with site.store.local(key) as path:
        if compressed and not wants_compressed:
            with bz2.open(path, "rb") as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
            return
        compressor = bz2.BZ2Compressor() if wants_compressed and not compressed else None
        yield from _read(path, compressor)


def _read(path: Path, compressor: bz2.BZ2Compressor | None) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if compressor is None:
                yield chunk
            elif squeezed := compressor.compress(chunk):
                yield squeezed
    if compressor is not None:
        yield compressor.flush()
