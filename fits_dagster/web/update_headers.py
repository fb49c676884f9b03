"""``POST /update_headers``: the observing database has header keywords changed, a summit its exported files.

The body is a list of items, or an object with it as ``request``. The answer has an element for each item, in
order. At the summit "accepted" means that the edit is queued, durably; at the archive an item that names the
content before and after is done, and durable, when the answer is given.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import Any, Final

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from fits_dagster.headers.updates import update_headers
from fits_dagster.web.access import address_of, site_of
from fits_dagster.web.credentials import credential_for
from fits_dagster.web.shapes import EditOutcome, body_of

__all__ = ["router"]

log = logging.getLogger(__name__)
router = APIRouter()

_LARGEST_BODY: Final = 1 << 20
#: Requests at work at once: an edit at the archive keeps a processor busy for seconds.
_AT_ONCE: Final = 2


@router.post("/update_headers", response_model=list[EditOutcome], openapi_extra=body_of("application/json"))
async def post_update_headers(request: Request) -> Response:
    """Queue, or do, header edits."""
    site = site_of(request)
    address = address_of(request)
    shown = await credential_for(request, "edit", action="header edits")
    if why := shown.refusal_of("edit"):
        log.warning("header edits from %s refused: %s", address, why)
        needed = "a token for edits, or a cookie gemini_api_authorization with an accepted value"
        return _refusal(403, f"This needs {needed}: {why}")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_BODY:
                return _refusal(413, f"The body is larger than {_LARGEST_BODY} bytes")
    except ClientDisconnect:
        return _refusal(400, "The client went away")
    try:
        items = _items(bytes(body))
    except ValueError as error:
        return _refusal(400, str(error))
    work = partial(update_headers, site, items, asked_by=shown.at(address))
    return _json(await anyio.to_thread.run_sync(work, limiter=_limiter(request)))


def _items(body: bytes) -> list[object]:
    """Return the items of a body in either form."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The body is not JSON: {error}") from error
    if isinstance(content, dict):
        if "request" not in content:
            raise ValueError("The object has no request")
        content = content["request"]
    if not isinstance(content, list):
        raise ValueError("The request is not a list of items")
    return content


def _limiter(request: Request) -> anyio.CapacityLimiter:
    """Return the limit on requests at work; it belongs to the application's event loop."""
    state = request.app.state
    if not hasattr(state, "header_edits"):
        state.header_edits = anyio.CapacityLimiter(_AT_ONCE)
    limiter: anyio.CapacityLimiter = state.header_edits
    return limiter


def _refusal(status: int, message: str) -> Response:
    return _json({"error": message}, status)


def _json(content: Any, status: int = 200) -> Response:
    # ASCII alone: a name that is sent back may hold what UTF-8 does not
    return Response(json.dumps(content), status, media_type="application/json")
