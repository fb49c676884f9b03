"""Buttons of the queue status page: try again, cancel, pause, resume; for operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from fits_dagster.ledger.management import (
    Selection,
    cancel_items,
    pause_stage,
    resume_stage,
    retry_items,
)
from fits_dagster.ledger.views import queue_views
from fits_dagster.web.access import role_required, site_of
from fits_dagster.web.accounts import Person
from fits_dagster.web.forms import form_token, read_form, refuse_foreign_form
from fits_dagster.web.pages import page
from fits_dagster.web.queues import Queue, find_queue
from fits_dagster.web.shapes import form_of, leads_to

__all__ = ["router"]

router = APIRouter()

_ItemId = Annotated[int, Path(ge=0, lt=1 << 63)]
_Operator = Annotated[Person, Depends(role_required("operator"))]


@router.post(
    "/queuestatus/{short}/{item_id}/{action}",
    status_code=303,
    response_class=RedirectResponse,
    openapi_extra=form_of("token"),
)
async def act_on_item(
    request: Request, short: str, item_id: _ItemId, action: str, person: _Operator
) -> Response:
    """Try an item again or cancel it."""
    form = await read_form(request)
    queue = find_queue(site_of(request), short)
    if queue is None or action not in _ITEM_ACTIONS:
        return RedirectResponse("/queuestatus", 303)
    refuse_foreign_form(request, form)
    chosen = Selection(stage=queue.stage, ids=[item_id])
    act = _ITEM_ACTIONS[action]
    return await _done(request, queue, lambda connection: act(connection, chosen, who=person.username))


@router.post(
    "/queuestatus/{short}/{action}",
    response_class=HTMLResponse,
    responses=leads_to("the queue", 303),
    openapi_extra=form_of("token", "reason", "confirmed"),
)
async def act_on_queue(request: Request, short: str, action: str, person: _Operator) -> Response:
    """Try all failed items again, or those with one reason; pause or resume the stage.

    All of them are tried only after a question.
    """
    form = await read_form(request)
    queue = find_queue(site_of(request), short)
    if queue is None or action not in (*_STAGE_ACTIONS, "retry"):
        return RedirectResponse("/queuestatus", 303)
    refuse_foreign_form(request, form)
    if action in _STAGE_ACTIONS:
        change, stage = _STAGE_ACTIONS[action], queue.stage
        return await _done(request, queue, lambda connection: change(connection, stage, who=person.username))
    reason = form.get("reason")
    if reason is None and form.get("confirmed") != "yes":
        return await run_in_threadpool(_ask, request, queue)
    chosen = Selection(stage=queue.stage, state="failed", reason=reason)
    return await _done(
        request, queue, lambda connection: retry_items(connection, chosen, who=person.username)
    )


_ITEM_ACTIONS: Final[Mapping[str, Callable[..., int]]] = {"retry": retry_items, "cancel": cancel_items}
_STAGE_ACTIONS: Final[Mapping[str, Callable[..., object]]] = {"pause": pause_stage, "resume": resume_stage}


async def _done(request: Request, queue: Queue, act: Callable[[Connection], object]) -> Response:
    """Do it in one transaction, and lead back to the queue."""
    engine = site_of(request).engine

    def transact() -> None:
        with engine.begin() as connection:
            act(connection)

    await run_in_threadpool(transact)
    return RedirectResponse(f"/queuestatus#{queue.short}", 303)


def _ask(request: Request, queue: Queue) -> Response:
    """Ask before all failed items of a queue are tried again."""
    with site_of(request).engine.connect() as connection:
        view = queue_views(connection, [queue.stage])[queue.stage]
    return page(request, "confirm.html", queue=queue, view=view, token=form_token(request))
