"""``/help``: what a selection may hold, and which routes take one; made from the tables that serve them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from fits_dagster.calibration.rules import CALTYPES
from fits_dagster.records.selection import GRAMMAR
from fits_dagster.records.selection.ordering import ORDER_COLUMNS
from fits_dagster.web.access import current_person
from fits_dagster.web.answers import json_answer
from fits_dagster.web.calibrations import OPTIONS
from fits_dagster.web.pages import page
from fits_dagster.web.selecting import NOT_UNDERSTOOD_HEADER
from fits_dagster.web.shapes import Term

__all__ = ["router"]

router = APIRouter()


@router.get("/help", response_class=HTMLResponse)
@router.get("/help/", response_class=HTMLResponse)
def help_page(request: Request) -> Response:
    """Show the grammar of selections to people."""
    current_person(request)
    return page(
        request,
        "help.html",
        grammar=GRAMMAR,
        orders=ORDER_COLUMNS,
        caltypes=CALTYPES,
        options=OPTIONS,
        header=NOT_UNDERSTOOD_HEADER,
    )


@router.get("/help.json", response_model=list[Term])
def help_json(request: Request) -> Response:
    """Tell the grammar of selections to programs."""
    rows = [
        {
            "key": term.key,
            "words": list(term.words),
            "names": list(term.names),
            "value": term.form,
            "selects": term.help,
            "closes": term.closes,
            "examples": list(term.examples),
        }
        for term in GRAMMAR
    ]
    return json_answer(request, rows)


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> JSONResponse:
    """Describe all routes."""
    return JSONResponse(request.app.openapi())
