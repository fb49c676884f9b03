"""``/file``: one file, as it is stored or in the other form, whole or in part."""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import Row
from starlette.background import BackgroundTask

from fits_dagster.web.access import site_of
from fits_dagster.web.answers import content_disposition, has_etag
from fits_dagster.web.heads import is_head
from fits_dagster.web.shapes import content
from fits_dagster.web.versions import NO_CACHE, find_version, key_of
from fits_dagster.web.visibility import viewer_of

__all__ = ["router"]

router = APIRouter()

_CHUNK: Final = 1 << 20
#: Of bytes that are sent as they are: the first ones leave while the next are read.
_STORED_CHUNK: Final = 1 << 18
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_TYPES: Final = ("application/fits", "text/plain", "application/octet-stream")
_SENT: Final = content(*_TYPES) | content(*_TYPES, status=206, description="A part")
_OPEN_ERRORS: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


@dataclass(frozen=True)
class _Form:
    """In which form a version is asked for."""

    row: Row[Any]
    name: str

    @property
    def is_compressed(self) -> bool:
        return self.name.endswith(".bz2")

    @property
    def is_as_stored(self) -> bool:
        return self.is_compressed == bool(self.row.compressed)

    @property
    def size(self) -> int | None:
        """Bytes that will come; None when nobody knows before they are compressed."""
        if self.is_as_stored:
            return int(self.row.file_size)
        return None if self.is_compressed else int(self.row.data_size)

    @property
    def etag(self) -> str:
        if self.is_as_stored:
            return f'"{self.row.file_md5}"'
        return f'W/"{self.row.data_md5}.bz2"' if self.is_compressed else f'"{self.row.data_md5}"'

    @property
    def media_type(self) -> str:
        if self.row.name.endswith(".fits"):
            return "application/fits"
        return "text/plain" if self.row.name.endswith("_obslog.txt") else "application/octet-stream"

    def headers(self) -> dict[str, str]:
        known = {
            **NO_CACHE,
            "Content-Disposition": content_disposition(self.name),
            "ETag": self.etag,
            "Last-Modified": format_datetime(self.row.lastmod.astimezone(UTC), usegmt=True),
            "Accept-Ranges": "bytes" if self.is_as_stored else "none",
        }
        return known | ({"Content-Length": str(self.size)} if self.size is not None else {})


@router.get("/file/{rest:path}", response_class=Response, responses=_SENT)
def get_file(request: Request, rest: str) -> Response:
    """Send one file: stored bytes under the stored name, converted where the other form is asked for."""
    site = site_of(request)
    row = find_version(site, rest)
    viewer_of(request).require_file(row)
    form = _Form(row, rest.rpartition("/")[2])
    headers = form.headers()
    if _is_unchanged(request.headers, form):
        headers.pop("Content-Length", None)
        return Response(status_code=304, headers=headers)
    part = _part(request.headers, form)
    status, (first, end) = 200, (0, form.size)
    if part is not None:
        first, end = part
        if not first < end:
            return Response(status_code=416, headers={**NO_CACHE, "Content-Range": f"bytes */{form.size}"})
        status = 206
        headers |= {
            "Content-Range": f"bytes {first}-{end - 1}/{form.size}",
            "Content-Length": str(end - first),
        }
    stack = ExitStack()
    try:
        path = stack.enter_context(site.store.local(key_of(row)))
    except _OPEN_ERRORS as error:
        raise HTTPException(410, "the file is no longer in the store; please tell the staff") from error
    if is_head(request):
        stack.close()
        return Response(status_code=status, headers=headers, media_type=form.media_type)
    return StreamingResponse(
        _content(stack, path, form, first, end),
        status_code=status,
        media_type=form.media_type,
        headers=headers,
        background=BackgroundTask(stack.close),
    )


def _is_unchanged(headers: Mapping[str, str], form: _Form) -> bool:
    """Tell whether the client has what it would get."""
    if "if-none-match" in headers:
        return has_etag(headers["if-none-match"], form.etag)
    since = _moment(headers.get("if-modified-since"))
    return since is not None and form.row.lastmod.replace(microsecond=0) <= since


def _part(headers: Mapping[str, str], form: _Form) -> tuple[int, int] | None:
    """Return the part that is asked for, its end excluded; None for the whole.

    Several parts at once, and parts of what is converted on the way, are not given: the whole is.
    """
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or not form.is_as_stored or form.size is None or not any(found.groups()):
        return None
    condition = headers.get("if-range")
    if condition is not None and condition != form.etag:
        since = _moment(condition)
        if since is None or form.row.lastmod.replace(microsecond=0) != since:
            return None
    if not found[1]:
        return max(0, form.size - int(found[2])), form.size
    if found[2] and int(found[2]) < int(found[1]):
        return None
    return int(found[1]), min(form.size, int(found[2]) + 1 if found[2] else form.size)


def _moment(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found is not None else None


def _content(stack: ExitStack, path: Path, form: _Form, first: int, end: int | None) -> Iterator[bytes]:
    with stack:
        if form.is_as_stored:
            yield from _stored(path, first, end)
        elif form.is_compressed:
            yield from _squeezed(path)
        else:
            with bz2.open(path, "rb") as unpacked:
                while chunk := unpacked.read(_CHUNK):
                    yield chunk


def _stored(path: Path, first: int, end: int | None) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(first)
        left = (end if end is not None else path.stat().st_size) - first
        while left > 0 and (chunk := stream.read(min(_STORED_CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _squeezed(path: Path) -> Iterator[bytes]:
    compressor = bz2.BZ2Compressor()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if squeezed := compressor.compress(chunk):
                yield squeezed
    yield compressor.flush()
