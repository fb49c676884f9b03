"""``/night/again``: what of a night may be made again, and of how many files; for operators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from fits_dagster.ledger.management import write_audit
from fits_dagster.ledger.stage import Stage, Subject
from fits_dagster.nights import Night
from fits_dagster.requeue.nights import queue_again
from fits_dagster.sites import Site
from fits_dagster.stages.registry import stages_of
from fits_dagster.web.access import role_required, site_of
from fits_dagster.web.accounts import Person
from fits_dagster.web.forms import form_token, read_form, refuse_foreign_form
from fits_dagster.web.night_view import read_night
from fits_dagster.web.notices import leave_notice
from fits_dagster.web.pages import page
from fits_dagster.web.shapes import form_of, leads_to
from fits_dagster.wording import counted

__all__ = ["router"]

router = APIRouter()

_OperatorOfPage = Annotated[Person, Depends(role_required("operator", is_page=True))]
_Operator = Annotated[Person, Depends(role_required("operator"))]


@dataclass(frozen=True)
class _Choice:
    """One way to make something of a night again."""

    #: By which the form names it.
    name: str
    stage: Stage[Any]
    #: What will be done, for people.
    words: str
    files: int = 0
    switches: dict[str, bool] = field(default_factory=dict)


@router.get("/night/again", response_class=HTMLResponse, responses=leads_to("the login form"))
def again_page(
    request: Request,
    person: _OperatorOfPage,
    night: Annotated[str, Query(description="Label of the night.")] = "",
) -> Response:
    """Show what of a night may be made again, and how many files that would be."""
    which, site = _night(request, night), site_of(request)
    return page(
        request,
        "again.html",
        night=which,
        choices=[_counted(site, which, choice) for choice in _choices(site)],
        token=form_token(request),
    )


@router.post(
    "/night/again",
    status_code=303,
    response_class=RedirectResponse,
    openapi_extra=form_of("token", "night", "choice"),
)
async def make_again(request: Request, person: _Operator) -> Response:
    """Queue the files of a choice, as background work."""
    form = await read_form(request)
    refuse_foreign_form(request, form)
    which, site = _night(request, form.get("night", "")), site_of(request)
    chosen = next((each for each in _choices(site) if each.name == form.get("choice")), None)
    answer = RedirectResponse(f"/night/{which}", 303)
    if chosen is None:
        leave_notice(request, answer, "Nothing was done: no choice was made.")
        return answer

    def do() -> int:
        count = queue_again(site, chosen.stage, [str(which)], chosen.switches)
        with site.engine.begin() as connection:
            write_audit(connection, person.username, "again", f"night {which}: {chosen.name}, {count} files")
        return count

    count = await run_in_threadpool(do)
    files = counted(count, "file")
    leave_notice(
        request,
        answer,
        f"{files} of night {which} wait for {chosen.stage.title.lower()}, behind all other work.",
    )
    return answer


def _night(request: Request, label: str) -> Night:
    return read_night(label) if label else site_of(request).settings.night_clock.tonight()


def _choices(site: Site) -> Iterator[_Choice]:
    """Yield what may be made again at a site, in the order in which a file meets the stages."""
    for stage in stages_of(site.settings):
        if stage.subject is None or not stage.destinations(site.settings):
            continue
        if stage.subject is Subject.STORED:
            yield _Choice(
                stage.name, stage, "Look for new files of the night in the store, and for changed ones."
            )
        else:
            yield _Choice(stage.name, stage, "Do it again for all files of the night.")
        for switch, words in stage.switches.items():
            yield _Choice(f"{stage.name}:{switch}", stage, words, switches={switch: True})


def _counted(site: Site, night: Night, choice: _Choice) -> _Choice:
    files = queue_again(site, choice.stage, [str(night)], choice.switches, dry_run=True)
    return _Choice(choice.name, choice.stage, choice.words, files, choice.switches)
