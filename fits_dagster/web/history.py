"""``/queuestatus/file``: where a file is, and what has happened to it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from fits_dagster.records.history import Answer, SearchTooWideError, find_file
from fits_dagster.stages.whereabouts import answer_as_dict, answer_sentence
from fits_dagster.web.access import role_required, site_of
from fits_dagster.web.accounts import Person
from fits_dagster.web.pages import page
from fits_dagster.web.queues import queue_of_stage, run_link
from fits_dagster.web.shapes import leads_to

__all__ = ["router"]

router = APIRouter()


@router.get("/queuestatus/file", response_class=HTMLResponse, responses=leads_to("the login form"))
def file_page(
    request: Request,
    person: Annotated[Person, Depends(role_required("reader", is_page=True))],
    name: str = "",
) -> Response:
    """Show where a file is, by its name, or the names that hold what was asked for."""
    problem, answer = "", Answer(name)
    try:
        answer = _find(request, name)
    except SearchTooWideError as error:
        problem = str(error)
    site = site_of(request)
    return page(
        request,
        "file.html",
        asked=name,
        answer=answer,
        sentence=answer_sentence(answer),
        problem=problem,
        queue_of=lambda stage: queue_of_stage(site, stage),
        run_link=run_link,
    )


@router.get("/queuestatus/file.json")
def file_json(
    request: Request, person: Annotated[Person, Depends(role_required("reader"))], name: str = ""
) -> JSONResponse:
    """Tell the same to programs."""
    try:
        return JSONResponse(answer_as_dict(_find(request, name)), headers={"Cache-Control": "no-cache"})
    except SearchTooWideError as error:
        raise HTTPException(400, str(error)) from error


def _find(request: Request, name: str) -> Answer:
    with site_of(request).engine.connect() as connection:
        return find_file(connection, name)
