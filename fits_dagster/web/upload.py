"""``POST /upload_file/[path/]name``: a file comes in as a raw body.

Guarantees: the answer is given only when the bytes are synced to disk and their row, with the work that
follows, is committed; a body that is shorter than its ``Content-Length``, or whose client goes away, or is
slow beyond measure, leaves nothing behind; names cannot leave the staging directory, nor lead to what this
server makes itself; two uploads of one name do not meet; what is refused leaves a row in the audit.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import AsyncIterator
from typing import Final

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from fits_dagster.destinations.fits_server import CONTENT_HEADER
from fits_dagster.fits.names import trimmed
from fits_dagster.intake.uploads import (
    PROCESSED_CALIBRATION_PATH,
    Reception,
    ReservedPathError,
    StagingFullError,
    UploadTooLargeError,
)
from fits_dagster.ledger.management import write_audit, write_refusal
from fits_dagster.sites import Site
from fits_dagster.storage import UnsafeNameError
from fits_dagster.web.access import address_of, site_of
from fits_dagster.web.credentials import credential_for
from fits_dagster.web.errors import refusal
from fits_dagster.web.shapes import ERRORS, ReceivedFile, body_of

__all__ = ["router"]

log = logging.getLogger(__name__)
router = APIRouter()

_WRITE_BYTES: Final = 1 << 20
_MD5: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class SlowSenderError(Exception):
    """The upload came too slowly and was cut off."""


@router.post(
    "/upload_file/{rest:path}",
    response_model=list[ReceivedFile],
    responses={507: ERRORS[503] | {"description": "No room."}},
    openapi_extra=body_of("application/octet-stream", {"type": "string", "format": "binary"}),
)
async def upload_file(request: Request, rest: str, batch: str | None = None) -> Response:
    """Receive one file."""
    site = site_of(request)
    address = address_of(request)
    shown = await credential_for(request, "upload", action="upload", about=rest)
    if why := shown.refusal_of("upload"):
        log.warning("upload of %r from %s refused: %s", rest, address, why)
        return refusal(403, f"not authorized: {why}")
    path, _, filename = rest.rpartition("/")
    if path == "processed_cal":
        path = PROCESSED_CALIBRATION_PATH
    if not filename:
        return refusal(404, "no file name")
    try:
        reception = await run_in_threadpool(Reception, site, path, filename)
    except UnsafeNameError as error:
        return await _refused(site, address, rest, refusal(400, str(error)))
    except ReservedPathError as error:
        return await _refused(site, address, rest, refusal(403, str(error)))
    except StagingFullError as error:
        return refusal(507, str(error))
    except OSError as error:
        log.exception("upload of %r", rest)
        return refusal(500, f"cannot write the staging file: {error.strerror}")
    refused = await _receive(request, reception)
    if refused is not None:
        await run_in_threadpool(reception.discard)
        return await _refused(site, address, rest, refused)
    try:
        received = await run_in_threadpool(
            reception.finish,
            batch=batch,
            remote_address=address,
            content=_content(request),
            check=lambda connection: write_audit(connection, shown.at(address), "upload", rest),
        )
    except Exception as error:
        log.exception("upload of %r", rest)
        return refusal(500, f"the upload could not be made durable: {type(error).__name__}")
    log.info(
        "received %s: %d bytes, md5 %s%s",
        rest,
        received.size,
        received.md5,
        f", content {received.content}" if received.content else "",
        extra={
            "action": "received",
            "frame": rest,
            "file": trimmed(received.filename),
            "content": received.content,
        },
    )
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


def _content(request: Request) -> str:
    """Return the MD5 of the uncompressed data that the sender tells, or nothing."""
    content = request.headers.get(CONTENT_HEADER, "")
    return content if _MD5.fullmatch(content) else ""


async def _refused(site: Site, address: str, rest: str, answer: Response) -> Response:
    """Note a refusal in the log and in the audit."""
    reason = json.loads(bytes(answer.body))["error"]
    log.warning("upload of %r from %s refused: %s", rest, address, reason)

    def note() -> None:
        with site.engine.begin() as connection:
            write_refusal(connection, address, "upload refused", f"{rest}: {reason}")

    await run_in_threadpool(note)
    return answer


async def _receive(request: Request, reception: Reception) -> Response | None:
    """Take in the body; returns the refusal if it is not complete or not acceptable."""
    buffer = bytearray()
    try:
        async for chunk in _brisk(request):
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                await run_in_threadpool(reception.write, bytes(buffer))
                buffer.clear()
        await run_in_threadpool(reception.write, bytes(buffer))
    except ClientDisconnect:
        return refusal(400, "the client went away")
    except SlowSenderError as error:
        return refusal(408, str(error), {"Connection": "close"})
    except UploadTooLargeError as error:
        return refusal(413, str(error))
    except StagingFullError as error:
        return refusal(507, str(error))
    except OSError as error:
        return refusal(507, f"cannot write the staging file: {error.strerror}")
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) != reception.size:
        return refusal(400, f"{reception.size} bytes came instead of {declared}")
    return None


async def _brisk(request: Request) -> AsyncIterator[bytes]:
    """Yield the body while it comes fast enough.

    Raises
    ------
    SlowSenderError
        It does not.
    """
    settings = site_of(request).settings
    silence, rate = settings.silence_seconds, settings.upload_least_rate
    stream, started, size = aiter(request.stream()), time.monotonic(), 0
    while True:
        try:
            with anyio.fail_after(silence):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise SlowSenderError(f"no byte came for {silence:g} s") from error
        if chunk is None:
            return
        yield chunk
        size += len(chunk)
        elapsed = time.monotonic() - started
        if elapsed > silence and size < rate * elapsed:
            raise SlowSenderError(f"{size} bytes came in {elapsed:.0f} s")
