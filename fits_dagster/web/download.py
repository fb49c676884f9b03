"""``/download``: the files of a selection, or chosen ones, or their calibrations, as one tar that streams.

The tar holds the files as they are stored, ``md5sums.txt`` as ``md5sum -c`` reads it, and ``README.txt`` with
what was asked for and what was denied. A file that has vanished from the store is named there; one whose size
is not what the database says ends the stream, so that nobody takes half a file for a whole one.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from sqlalchemy import Connection, Row, and_, any_, bindparam, or_
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT
from starlette.concurrency import run_in_threadpool

from fits_dagster.calibration.lookup import associated_calibrations
from fits_dagster.records.selection import path_elements
from fits_dagster.records.tables import diskfile, file, header
from fits_dagster.sites import Site
from fits_dagster.web.access import current_person, site_of
from fits_dagster.web.answers import content_disposition
from fits_dagster.web.selecting import SelectionPath, read_selection
from fits_dagster.web.shapes import CALIBRATION_ERRORS, content, form_of
from fits_dagster.web.versions import NO_CACHE, key_of, versions_query
from fits_dagster.web.visibility import viewer_of

__all__ = ["router"]

router = APIRouter()

_CHUNK: Final = 1 << 20
_LARGEST_FORM: Final = 1_000_000
_CALIBRATIONS: Final = "associated_calibrations"
_SENT: Final = content("application/tar", "text/plain") | CALIBRATION_ERRORS
_IDS: Final = bindparam("ids", type_=ARRAY(BIGINT))


class SizeChangedError(Exception):
    """A stored file has not the size that the database says; the download cannot be continued."""


@dataclass
class _Parcel:
    """What goes into a tar."""

    asked_for: str
    user: str
    given: Sequence[Row[Any]]
    denied: Sequence[str]
    #: Found out on the way.
    missing: list[str] = field(default_factory=list)
    sent: list[Row[Any]] = field(default_factory=list)

    def readme(self) -> str:
        lines = [
            f"Files of {self.asked_for}",
            f"Made {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC for {self.user}",
            f"{len(self.sent)} files; check them with: md5sum -c md5sums.txt",
        ]
        if self.denied:
            lines += ["", "Not released yet, and not included:", *self.denied]
        if self.missing:
            lines += ["", "No longer in the store, please tell the staff:", *self.missing]
        return "\n".join(lines) + "\n"


@router.get("/download/{rest:path}", response_class=Response, responses=_SENT)
def download(request: Request, rest: SelectionPath) -> Response:
    """Send the present files of a selection; with ``associated_calibrations`` those of its calibrations."""
    elements = path_elements(request.scope.get("raw_path") or b"", "download")
    selection = read_selection(request, "download", without=(_CALIBRATIONS,))
    if not elements:
        return _said("Nothing was asked for.")
    limit = site_of(request).settings.most_files(is_open=selection.is_open)
    if "present" not in selection.conditions:
        selection.conditions["present"] = diskfile.c.present
    query = versions_query().add_columns(header.c.id.label("header_id")).where(selection.where)
    with site_of(request).engine.connect() as connection:
        rows = list(connection.execute(query.order_by(file.c.name, diskfile.c.id).limit(limit + 1)).all())
        if len(rows) <= limit and _CALIBRATIONS in elements:
            rows = _calibrations_of(connection, rows)
    if len(rows) > limit:
        return _said(f"More than {limit} files: please ask for fewer.")
    kind = "gemini_calibs" if _CALIBRATIONS in elements else "gemini_data"
    terms = "_".join(re.sub(r"[^\w.+=-]", "-", each) for each in selection.elements)
    return _tar(request, f"{kind}.{terms}.tar"[:200], "/".join(elements), rows)


@router.post("/download/", response_class=Response, responses=_SENT, openapi_extra=form_of("files", "what"))
async def download_chosen(request: Request) -> Response:
    """Send files by their names, ``[path/]name`` each, in the form field ``files``.

    The field ``what`` says what goes into the tar: ``files``, their ``calibrations``, or ``both``.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            return PlainTextResponse("The form is too large.", 413)
    form = parse_qs(body.decode("utf-8", "replace"))
    what = form.get("what", ["files"])[-1]
    return await run_in_threadpool(_chosen, request, form.get("files", []), what)


def _chosen(request: Request, names: Sequence[str], what: str) -> Response:
    if not names:
        return _said("Nothing was chosen.")
    limit = site_of(request).settings.most_files(is_open=False)
    if len(names) > limit:
        return _said(f"More than {limit} files: please choose fewer.")
    asked = [name.replace("\x00", "").rpartition("/") for name in names]
    wanted = or_(*(and_(diskfile.c.path == path, diskfile.c.filename == name) for path, _, name in asked))
    columns = versions_query().add_columns(header.c.id.label("header_id"))
    query = columns.where(diskfile.c.present, wanted).order_by(file.c.name)
    with site_of(request).engine.connect() as connection:
        rows = list(connection.execute(query).all())
        if what in ("calibrations", "both"):
            known = {row.diskfile_id for row in rows} if what == "both" else set()
            found = _calibrations_of(connection, rows)
            rows = (rows if what == "both" else []) + [row for row in found if row.diskfile_id not in known]
    if len(rows) > limit:
        return _said(f"More than {limit} files with the calibrations: please choose fewer.")
    name = "gemini_calibs.tar" if what == "calibrations" else "gemini_data.tar"
    asked_for = f"{len(names)} chosen files" if what == "files" else f"{len(names)} chosen files: {what}"
    return _tar(request, name, asked_for, rows)


def _calibrations_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return the present files of the calibrations of some files, and of those of the calibrations."""
    targets = [row.header_id for row in rows if row.header_id is not None]
    found = {each.header_id for each in associated_calibrations(connection, targets)}
    chosen = versions_query().where(header.c.id == any_(_IDS), diskfile.c.present)
    return list(connection.execute(chosen.order_by(file.c.name), {"ids": sorted(found)}).all())


def _tar(request: Request, name: str, asked_for: str, rows: Sequence[Row[Any]]) -> Response:
    viewer, person = viewer_of(request), current_person(request)
    given = [row for row in rows if viewer.sees_file(row)]
    denied = [key_of(row) for row in rows if not viewer.sees_file(row)]
    if not given:
        return _said("None of the files has been released yet." if denied else "There is no such file.")
    parcel = _Parcel(asked_for, person.username if person else "a visitor without an account", given, denied)
    return StreamingResponse(
        _stream(site_of(request), parcel),
        media_type="application/tar",
        headers={**NO_CACHE, "Content-Disposition": content_disposition(name)},
    )


def _stream(site: Site, parcel: _Parcel) -> Iterator[bytes]:
    for row in parcel.given:
        key = key_of(row)
        try:
            with site.store.local(key) as path, path.open("rb") as stream:
                yield _member(key, row.file_size, row.lastmod)
                yield from _exactly(stream, row.file_size, key)
        except FileNotFoundError:
            parcel.missing.append(key)
            continue
        parcel.sent.append(row)
    sums = "".join(f"{row.file_md5}  {key_of(row)}\n" for row in parcel.sent)
    for name, text in (("md5sums.txt", sums), ("README.txt", parcel.readme())):
        body = text.encode()
        yield _member(name, len(body), datetime.now(UTC))
        yield body + _padding(len(body))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(name: str, size: int, time: datetime) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, int(time.timestamp()), 0o644
    return entry.tobuf(tarfile.PAX_FORMAT)


def _exactly(stream: io.BufferedReader, size: int, key: str) -> Iterator[bytes]:
    """Yield a file of a known size, and the padding of its last block."""
    left = size
    while chunk := stream.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise SizeChangedError(f"{key}: {size - left} bytes instead of {size}")
    yield _padding(size)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _said(text: str) -> Response:
    """Tell why there is no tar, as clients of the reference expect it."""
    return PlainTextResponse(f"{text}\n", headers=NO_CACHE)
