"""The operators' calibration page: what files of a selection need, what is far, missing, or to be taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from fits_dagster.calibration.coverage import TargetNeeds, calibration_needs
from fits_dagster.records.selected import targets_query
from fits_dagster.records.selection import path_elements
from fits_dagster.web.access import current_person, site_of
from fits_dagster.web.pages import page
from fits_dagster.web.selecting import SelectionPath, read_selection
from fits_dagster.web.shapes import leads_to

__all__ = ["OPTIONS", "router"]

router = APIRouter()

_MOST_TARGETS: Final = 2000
#: Words that keep some of the files on this page.
OPTIONS: Final[Mapping[str, Callable[[TargetNeeds, datetime], bool]]] = {
    "requires": lambda target, _: bool(target.needs),
    "missing": lambda target, _: any(need.is_missing for need in target.needs),
    "warnings": lambda target, _: any(
        need.is_missing or any(need.is_far(seconds) for _, seconds in need.found) for need in target.needs
    ),
    "takenow": lambda target, now: target.take_now(now),
}


@router.get("/calibrations/{rest:path}", response_class=HTMLResponse, responses=leads_to("a night's page"))
def calibration_page(
    request: Request,
    rest: SelectionPath,
    night: Annotated[str, Query(description="A night, as a form has it; leads to its page.")] = "",
    only: Annotated[str, Query(description="With it: a word that keeps some of the files.")] = "",
) -> Response:
    """Show the raw calibrations that the files of a selection need, newest file first; of none, a form."""
    site = site_of(request)
    if night:
        kept = f"/{only}" if only in OPTIONS else ""
        return RedirectResponse(f"/calibrations/night={quote(night.replace('-', ''), safe='')}{kept}", 302)
    selection = read_selection(request, "calibrations", without=OPTIONS)
    options = set(path_elements(request.scope.get("raw_path") or b"", "calibrations")) & set(OPTIONS)
    tonight = site.settings.night_clock.tonight()
    if not selection.elements:
        current_person(request)
        return page(request, "calibrations.html", selection="", files=[], words=OPTIONS, tonight=tonight)
    if selection.is_open:
        raise HTTPException(406, "the selection names neither a date, nor a program, nor a file")
    targets = targets_query(selection.where, most=_MOST_TARGETS, for_operators=True)
    with site.engine.connect() as connection:
        files = calibration_needs(connection, connection.scalars(targets).all())
    current_person(request)
    now = datetime.now(UTC)
    return page(
        request,
        "calibrations.html",
        selection="/".join([*selection.elements, *sorted(options)]),
        words=OPTIONS,
        tonight=tonight,
        files=[
            (each, each.take_now(now))
            for each in files
            if all(OPTIONS[option](each, now) for option in options)
        ],
    )
