"""``POST /upload_file/[path/]name``: a file comes in as a raw body.

Guarantees: the answer is given only when the bytes are synced to disk and their row, with the work that
follows, is committed; a body that is shorter than its ``Content-Length``, or whose client goes away, leaves
nothing behind; names cannot leave the staging directory; two uploads of one name do not meet.
"""

from __future__ import annotations

import logging
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from fits_dagster.dataflow.destination import UPLOAD_COOKIE
from fits_dagster.dataflow.receive import (
    PROCESSED_CALIBRATION_PATH,
    Reception,
    StagingFullError,
    UploadTooLargeError,
)
from fits_dagster.storage import UnsafeNameError
from fits_dagster.web.access import site_of
from fits_dagster.web.cookies import is_accepted

__all__ = ["router"]

log = logging.getLogger(__name__)
router = APIRouter()

_WRITE_BYTES: Final = 1 << 20


@router.post("/upload_file/{rest:path}")
async def upload_file(request: Request, rest: str, batch: str | None = None) -> Response:
    """Receive one file."""
    site = site_of(request)
    address = request.client.host if request.client else None
    if not is_accepted(request.cookies.get(UPLOAD_COOKIE), site.settings.upload_cookies):
        log.warning("upload of %s from %s refused: no or wrong cookie", rest, address)
        return PlainTextResponse("not authorized", 403)
    path, _, filename = rest.rpartition("/")
    if path == "processed_cal":
        path = PROCESSED_CALIBRATION_PATH
    if not filename:
        return PlainTextResponse("no file name", 404)
    try:
        reception = await run_in_threadpool(Reception, site, path, filename)
    except UnsafeNameError as error:
        return PlainTextResponse(str(error), 400)
    except StagingFullError as error:
        return PlainTextResponse(str(error), 507)
    except OSError as error:
        log.exception("upload of %s", rest)
        return PlainTextResponse(f"cannot write the staging file: {error.strerror}", 500)
    refusal = await _receive(request, reception)
    if refusal is not None:
        await run_in_threadpool(reception.discard)
        log.warning(
            "upload of %s from %s refused after %d bytes: %s", rest, address, reception.size, refusal.body
        )
        return refusal
    try:
        received = await run_in_threadpool(reception.finish, batch=batch, remote_address=address)
    except Exception as error:
        log.exception("upload of %s", rest)
        return PlainTextResponse(f"the upload could not be made durable: {type(error).__name__}", 500)
    log.info("received %s: %d bytes, md5 %s", rest, received.size, received.md5)
    return JSONResponse(
        [
            {
                "filename": received.filename,
                "path": received.path,
                "size": received.size,
                "md5": received.md5,
            }
        ]
    )


async def _receive(request: Request, reception: Reception) -> Response | None:
    """Take in the body; returns the refusal if it is not complete or not acceptable."""
    buffer = bytearray()
    try:
        async for chunk in request.stream():
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                await run_in_threadpool(reception.write, bytes(buffer))
                buffer.clear()
        await run_in_threadpool(reception.write, bytes(buffer))
    except ClientDisconnect:
        return PlainTextResponse("the client went away", 400)
    except UploadTooLargeError as error:
        return PlainTextResponse(str(error), 413)
    except OSError as error:
        return PlainTextResponse(f"cannot write the staging file: {error.strerror}", 507)
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) != reception.size:
        return PlainTextResponse(f"{reception.size} bytes came instead of {declared}", 400)
    return None
