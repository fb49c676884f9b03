"""Small answers: who is signed in, and what crawlers and browsers ask for by themselves."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from fits_dagster.web.access import current_person
from fits_dagster.web.answers import json_answer, xml_answer
from fits_dagster.web.shapes import Visitor
from fits_dagster.web.xmllist import sitemap_xml

__all__ = ["router"]

router = APIRouter()

#: A crawler that follows selections never ends.
_ROBOTS: Final = "User-agent: *\nAllow: /help\nAllow: /sitemap.xml\nDisallow: /\n"


@router.get("/whoami", response_model=Visitor)
@router.get("/whoami/", response_model=Visitor)
def who_am_i(request: Request) -> Response:
    """Tell who is signed in."""
    person = current_person(request)
    return json_answer(
        request,
        {"username": person.username if person else None, "role": person.role if person else None},
    )


@router.get("/robots.txt", include_in_schema=False)
def robots() -> Response:
    """Tell crawlers where they may go."""
    return PlainTextResponse(_ROBOTS)


@router.get("/sitemap.xml", include_in_schema=False)
def sitemap(request: Request) -> Response:
    """Tell crawlers what pages there are."""
    return xml_answer(request, sitemap_xml([f"{request.base_url}{name}" for name in ("help", "login/")]))


@router.get("/favicon.ico", include_in_schema=False)
def icon() -> Response:
    """Tell that there is no picture."""
    return Response(status_code=204)
