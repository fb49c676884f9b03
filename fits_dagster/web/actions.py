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
from fits_dagster.ledger.views import item_detail, queue_views
from fits_dagster.web.access import role_required, site_of
from fits_dagster.web.accounts import Person
from fits_dagster.web.forms import form_token, read_form, refuse_foreign_form
from fits_dagster.web.notices import leave_notice
from fits_dagster.web.pages import page
from fits_dagster.web.queues import Queue, find_queue
from fits_dagster.web.shapes import form_of, leads_to
from fits_dagster.wording import counted

__all__ = ["router"]

router = APIRouter()

_ItemId = Annotated[int, Path(ge=0, lt=1 << 63)]
_Operator = Annotated[Person, Depends(role_required("operator"))]


@router.post(
    "/queuestatus/{short}/{item_id}/{action}",
    response_class=HTMLResponse,
    responses=leads_to("where it was pressed, which says what was done", 303),
    openapi_extra=form_of("token", "confirmed", "back"),
)
async def act_on_item(
    request: Request, short: str, item_id: _ItemId, action: str, person: _Operator
) -> Response:
    """Try an item again or cancel it; that only after a question."""
    form = await read_form(request)
    queue = find_queue(site_of(request), short)
    if queue is None or action not in _ITEM_ACTIONS:
        return RedirectResponse("/queuestatus", 303)
    refuse_foreign_form(request, form)
    back = _back(form, queue)
    if action == "cancel" and form.get("confirmed") != "yes":
        return await run_in_threadpool(_ask_to_cancel, request, queue, item_id, back)
    chosen = Selection(stage=queue.stage, ids=[item_id])
    act = _ITEM_ACTIONS[action]

    def do(connection: Connection) -> str:
        detail = item_detail(connection, queue.stage, item_id)
        if not act(connection, chosen, who=person.username) or detail is None:
            return f"Nothing was done: the item is not on the queue {queue.title} any more, or is at work."
        name = detail.row.filename
        if action == "cancel":
            return f"{name} was taken off the queue {queue.title}. The file, and what is known of it, stay."
        return f"{name} waits for {queue.title.lower()} again, before other work."

    return await _done(request, back, do)


@router.post(
    "/queuestatus/{short}/{action}",
    response_class=HTMLResponse,
    responses=leads_to("the queue, which says what was done", 303),
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
    back = f"/queuestatus#{queue.short}"
    if action in _STAGE_ACTIONS:
        change, outcome = _STAGE_ACTIONS[action]

        def do_stage(connection: Connection) -> str:
            change(connection, queue.stage, who=person.username)
            return outcome.format(queue.title)

        return await _done(request, back, do_stage)
    reason = form.get("reason")
    if reason is None and form.get("confirmed") != "yes":
        return await run_in_threadpool(_ask, request, queue)
    chosen = Selection(stage=queue.stage, state="failed", reason=reason)

    def do(connection: Connection) -> str:
        count = retry_items(connection, chosen, who=person.username)
        files, wait = counted(count, "file"), "waits" if count == 1 else "wait"
        return f"{files} of {queue.title} {wait} again, before other work."

    return await _done(request, back, do)


_ITEM_ACTIONS: Final[Mapping[str, Callable[..., int]]] = {"retry": retry_items, "cancel": cancel_items}
#: With what is said when it was done.
_STAGE_ACTIONS: Final[Mapping[str, tuple[Callable[..., object], str]]] = {
    "pause": (pause_stage, "{} is paused: files in hand are finished, and the queue keeps what comes."),
    "resume": (resume_stage, "{} goes on."),
}


def _back(form: Mapping[str, str], queue: Queue) -> str:
    """Return where a button leads: to the page of the file where it was pressed, or to the queue."""
    asked = form.get("back", "")
    is_ours = asked.startswith("/about/") and asked.isprintable() and asked.isascii() and "\\" not in asked
    return asked if is_ours else f"/queuestatus#{queue.short}"


async def _done(request: Request, back: str, act: Callable[[Connection], str]) -> Response:
    """Do it in one transaction, and lead back to where it is said what was done."""
    engine = site_of(request).engine

    def transact() -> str:
        with engine.begin() as connection:
            return act(connection)

    answer = RedirectResponse(back, 303)
    leave_notice(request, answer, await run_in_threadpool(transact))
    return answer


def _ask(request: Request, queue: Queue) -> Response:
    """Ask before all failed items of a queue are tried again."""
    with site_of(request).engine.connect() as connection:
        view = queue_views(connection, [queue.stage])[queue.stage]
    return page(request, "confirm.html", queue=queue, view=view, token=form_token(request))


def _ask_to_cancel(request: Request, queue: Queue, item_id: int, back: str) -> Response:
    """Ask before an item is taken off its queue."""
    with site_of(request).engine.connect() as connection:
        detail = item_detail(connection, queue.stage, item_id)
    if detail is None:
        return RedirectResponse(back, 303)
    return page(request, "cancel.html", queue=queue, detail=detail, back=back, token=form_token(request))
