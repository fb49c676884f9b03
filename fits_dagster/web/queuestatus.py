"""``/queuestatus``: what waits, what failed, and why."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from fits_dagster.ledger.views import item_detail
from fits_dagster.web.access import role_required, site_of
from fits_dagster.web.accounts import Person
from fits_dagster.web.errors import refusal
from fits_dagster.web.forms import form_token
from fits_dagster.web.pages import page
from fits_dagster.web.queues import find_queue, queue_states, run_link
from fits_dagster.web.shapes import body_of, leads_to

__all__ = ["router"]

router = APIRouter()

_FEATURE: Final = "queuestatus"
_SIGN_IN: Final = leads_to("the login form, or to the queues")
_MAX_POLL_BYTES: Final = 10_000
#: Digits of the largest id that the database can hold.
_ID_DIGITS: Final = 18

_Reader = Annotated[Person, Depends(role_required("reader"))]
_ReaderOfPage = Annotated[Person, Depends(role_required("reader", is_page=True))]


@router.get(f"/{_FEATURE}", response_class=HTMLResponse, responses=_SIGN_IN)
@router.get(f"/{_FEATURE}/", response_class=HTMLResponse, responses=_SIGN_IN)
def queue_status(request: Request, person: _ReaderOfPage) -> Response:
    """Show the page; without a session, the way to it."""
    tabs = [{"queue": queue, "state": state} for queue, state in queue_states(site_of(request))]
    return page(request, "queuestatus.html", tabs=tabs, token=form_token(request))


@router.post(
    f"/{_FEATURE}/json", response_model=list[dict[str, Any]], openapi_extra=body_of("application/json")
)
async def queue_status_changes(request: Request, person: _Reader) -> JSONResponse:
    """Tell what has changed since the last poll, by the tokens of its answer."""
    try:
        known = json.loads((await request.body())[:_MAX_POLL_BYTES] or b"null") or {}
    except ValueError:
        return refusal(400, "the body is not JSON")
    if not isinstance(known, dict):
        return refusal(400, "the body is not an object")
    answer: list[dict[str, Any]] = []
    for queue, state in await run_in_threadpool(queue_states, site_of(request)):
        unchanged = known.get(queue.short) == state["token"]
        answer.append({key: state[key] for key in ("queue", "token")} if unchanged else state)
    return JSONResponse(answer, headers={"Cache-Control": "no-cache"})


@router.get(f"/{_FEATURE}/{{short}}/{{item_id}}", response_class=HTMLResponse, responses=_SIGN_IN)
def queue_item(request: Request, short: str, item_id: str, person: _ReaderOfPage) -> Response:
    """Show one item: its reason, its traceback, the history of its file."""
    site = site_of(request)
    queue = find_queue(site, short)
    detail = None
    if queue is not None and item_id.isdecimal() and len(item_id) <= _ID_DIGITS:
        with site.engine.connect() as connection:
            detail = item_detail(connection, queue.stage, int(item_id))
    if detail is None:
        return RedirectResponse(f"/{_FEATURE}", 302)
    return page(
        request,
        "queueitem.html",
        queue=queue,
        detail=detail,
        run_link=run_link,
        token=form_token(request),
    )
