"""Answers to programs: JSON and XML with a tag of their content, and names of files in headers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response

from fits_dagster.web.versions import NO_CACHE

__all__ = ["content_disposition", "has_etag", "json_answer", "tagged_answer", "xml_answer"]


def json_answer(request: Request, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON, or with 304 when the client has the same."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return tagged_answer(request, body, "application/json", headers)


def xml_answer(request: Request, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with XML, or with 304 when the client has the same."""
    return tagged_answer(request, body, "text/xml", headers)


def tagged_answer(
    request: Request, body: bytes, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a body and the tag of its content, or with 304 when the client has the same."""
    etag = f'W/"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
    known = {**NO_CACHE, **(headers or {}), "ETag": etag}
    if has_etag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=known)
    return Response(body, media_type=media_type, headers=known)


def has_etag(given: str | None, etag: str) -> bool:
    """Tell whether a list of tags, as in ``If-None-Match``, has one; weak and strong ones are alike."""
    if given is None:
        return False
    if given.strip() == "*":
        return True
    return etag.removeprefix("W/") in re.findall(r'"[^"]*"', given)


def content_disposition(name: str, kind: str = "attachment") -> str:
    """Write the header that names a download, whatever letters the name has (RFC 6266)."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    if plain == name:
        return f'{kind}; filename="{name}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
