"""``/queuestatus``: what waits, what failed, and why; for staff."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from fits_dagster.database.management import Selection, cancel_items, paused_stages, retry_items
from fits_dagster.database.status import QueueRow, QueueView, item_detail, queue_view
from fits_dagster.web.access import current_person, site_of, staff_required
from fits_dagster.web.accounts import SESSION_COOKIE
from fits_dagster.web.pages import page

__all__ = ["QUEUES", "router"]

router = APIRouter()

_FEATURE: Final = "queuestatus"


@dataclass(frozen=True)
class Queue:
    """One tab."""

    short: str
    stage: str
    title: str


#: Tabs in order. The last one is where files come in: the copy at the summit, the store at the archive.
_COMMON: Final = (
    Queue("iq", "ingest", "Ingest"),
    Queue("eq", "export", "Export"),
    Queue("pq", "preview", "Preview"),
    Queue("cq", "associate", "Calcache"),
)
QUEUES: Final[Mapping[str, Sequence[Queue]]] = {
    "summit": (*_COMMON, Queue("dq", "copy", "Copy")),
    "archive": (*_COMMON, Queue("sq", "store", "Store")),
}


@router.get(f"/{_FEATURE}", response_class=HTMLResponse)
@router.get(f"/{_FEATURE}/", response_class=HTMLResponse)
def queue_status(request: Request) -> Response:
    """Show the page; without a session, the way to it."""
    if current_person(request) is None:
        return RedirectResponse(f"/login/?redirect=/{_FEATURE}", 302)
    person = staff_required(request)
    tabs = [{"queue": queue, "view": view, "state": _state(queue, view)} for queue, view in _views(request)]
    with site_of(request).engine.connect() as connection:
        paused = paused_stages(connection)
    return page(request, "queuestatus.html", person=person, tabs=tabs, paused=paused)


@router.post(f"/{_FEATURE}/json", dependencies=[Depends(staff_required)])
async def queue_status_changes(request: Request) -> JSONResponse:
    """Tell what has changed since the last poll, by the tokens of its answer."""
    try:
        known = json.loads(await request.body() or b"null") or {}
    except ValueError:
        return JSONResponse({"error": "the body is not JSON"}, 400)
    if not isinstance(known, dict):
        return JSONResponse({"error": "the body is not an object"}, 400)
    answer = []
    for queue, view in _views(request):
        state = _state(queue, view)
        unchanged = known.get(queue.short) == state["token"]
        answer.append({k: state[k] for k in ("queue", "token")} if unchanged else state)
    return JSONResponse(answer, headers={"Cache-Control": "no-cache"})


@router.get(f"/{_FEATURE}/{{short}}/{{item_id}}", response_class=HTMLResponse)
def queue_item(request: Request, short: str, item_id: str) -> Response:
    """Show one item: its reason, its traceback, the history of its file."""
    staff_required(request)
    site = site_of(request)
    queue = next((q for q in QUEUES[site.name] if q.short == short), None)
    detail = None
    if queue is not None and item_id.isdigit():
        with site.engine.connect() as connection:
            detail = item_detail(connection, queue.stage, int(item_id))
    if detail is None:
        return RedirectResponse(f"/{_FEATURE}", 302)
    return page(
        request,
        "queueitem.html",
        queue=queue,
        detail=detail,
        since=since,
        person=current_person(request),
        token=form_token(request),
    )


@router.post(f"/{_FEATURE}/{{short}}/{{item_id}}/{{action}}")
async def queue_action(request: Request, short: str, item_id: int, action: str) -> Response:
    """Try an item again or cancel it: a button of the page, with its token against forged requests."""
    form = parse_qs((await request.body())[:_MAX_FORM_BYTES].decode("utf-8", "replace"))
    person = await run_in_threadpool(staff_required, request)
    site = site_of(request)
    queue = next((q for q in QUEUES[site.name] if q.short == short), None)
    if queue is None or action not in _ACTIONS:
        return RedirectResponse(f"/{_FEATURE}", 303)
    if not hmac.compare_digest(form.get("token", [""])[-1], form_token(request)):
        return PlainTextResponse("the form is stale or not ours; load the page again", 403)

    def act() -> None:
        with site.engine.begin() as connection:
            _ACTIONS[action](connection, Selection(stage=queue.stage, ids=[item_id]), who=person.username)

    await run_in_threadpool(act)
    return RedirectResponse(f"/{_FEATURE}#{short}", 303)


_ACTIONS: Final = {"retry": retry_items, "cancel": cancel_items}
_MAX_FORM_BYTES: Final = 10_000


def form_token(request: Request) -> str:
    """Return the token that forms of this session carry: derived from the session cookie, which no other
    site can read."""
    secret = request.cookies.get(SESSION_COOKIE, "")
    return hmac.new(secret.encode(), b"form", "sha256").hexdigest()


def _views(request: Request) -> list[tuple[Queue, QueueView]]:
    site = site_of(request)
    with site.engine.connect() as connection:
        return [(queue, queue_view(connection, queue.stage)) for queue in QUEUES[site.name]]


def _state(queue: Queue, view: QueueView) -> dict[str, Any]:
    """Put a queue into the form of the poll's answer."""
    waiting = view.total_waiting + view.total_running
    shown = [[row.id, row.state, row.attempts] for row in (*view.waiting, *view.errors)]
    token = hashlib.md5(
        json.dumps([waiting, view.total_errors, shown]).encode(), usedforsecurity=False
    ).hexdigest()
    return {
        "queue": queue.short,
        "token": token,
        "waiting": [_row(row) for row in view.waiting],
        "errors": [_row(row) for row in view.errors],
        "total_waiting": waiting,
        "total_errors": view.total_errors,
    }


def _row(row: QueueRow) -> dict[str, Any]:
    return {
        "oid": row.id,
        "filename": f"{row.path}/{row.filename}" if row.path else row.filename,
        "since": since(row.added_at),
        "state": _word(row),
        "reason": row.reason or "",
        "error": row.error or "",
    }


def _word(row: QueueRow) -> str:
    """Say what a row is doing, in one word or two."""
    if row.state == "waiting" and row.not_before > datetime.now(row.not_before.tzinfo):
        return f"{'retry' if row.attempts else 'later'} {row.not_before:%H:%M:%S}"
    return {"waiting": "due", "running": "running", "failed": "failed"}[row.state]


def since(moment: datetime | None) -> str:
    """Write a time as the page does."""
    return f"{moment:%Y-%m-%d %H:%M}" if moment is not None else "Unknown"
