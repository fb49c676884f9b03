"""The operators' calibration page: what files of a selection need, what is far, missing, or to be taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from fits_dagster.calibration.explain import TargetNeeds, calibration_needs
from fits_dagster.records.selected import targets_query
from fits_dagster.records.selection import path_elements
from fits_dagster.web.access import current_person, site_of
from fits_dagster.web.pages import page
from fits_dagster.web.selecting import SelectionPath, read_selection

__all__ = ["OPTIONS", "router"]

router = APIRouter()

_MOST_TARGETS: Final = 2000
#: Programs of this kind are for tests of the system.

#: Words that keep some of the files on this page.
OPTIONS: Final[Mapping[str, Callable[[TargetNeeds, datetime], bool]]] = {
    "requires": lambda target, _: bool(target.needs),
    "missing": lambda target, _: any(need.is_missing for need in target.needs),
    "warnings": lambda target, _: any(
        need.is_missing or any(need.is_far(seconds) for _, seconds in need.found) for need in target.needs
    ),
    "takenow": lambda target, now: target.take_now(now),
}


@router.get("/calibrations/{rest:path}", response_class=HTMLResponse)
def calibration_page(request: Request, rest: SelectionPath) -> Response:
    """Show the raw calibrations that the files of a selection need, newest file first."""
    site = site_of(request)
    selection = read_selection(request, "calibrations", without=OPTIONS)
    options = set(path_elements(request.scope.get("raw_path") or b"", "calibrations")) & set(OPTIONS)
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
        selection="/".join(selection.elements),
        files=[
            (each, each.take_now(now))
            for each in files
            if all(OPTIONS[option](each, now) for option in options)
        ],
    )
