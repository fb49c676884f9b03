"""``/api/v1/nights``: nights that have data, and one of them in figures."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from fits_dagster.records.nightly import nights_with_data
from fits_dagster.web.access import current_person, site_of
from fits_dagster.web.answers import json_answer
from fits_dagster.web.api.shapes import NightDetail, Nights
from fits_dagster.web.night_view import look_at_night, read_night

__all__ = ["router"]

router = APIRouter()

_LIMIT: Final = 31
_MOST: Final = 400


@router.get("/nights", response_model=Nights)
def list_nights(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="Nights of a page.")] = _LIMIT,
    before: Annotated[str | None, Query(description="Nights before this label.")] = None,
) -> Response:
    """List the nights that have data, the newest first, by the clock of the site."""
    settings = site_of(request).settings
    current_person(request)
    with site_of(request).engine.connect() as connection:
        first = read_night(before) if before else settings.night_clock.tonight().next.next
        found = nights_with_data(connection, settings, before=first, limit=limit)
    base = str(request.base_url).rstrip("/")
    items = [
        {"night": str(night), "files": files, "link": f"{base}/api/v1/nights/{night}"}
        for night, files in found
    ]
    last = str(found[-1][0]) if len(found) == limit else None
    follows = str(request.url.include_query_params(before=last)) if last else None
    return json_answer(request, {"items": items, "next": follows})


@router.get("/nights/{night}", response_model=NightDetail)
def one_night(request: Request, night: str) -> Response:
    """Tell of a night: its files by instrument and type and, to who may see the queues, by stage."""
    view = look_at_night(request, read_night(night))
    instruments: Counter[str] = Counter()
    types: Counter[str] = Counter()
    for each in view.kinds:
        instruments[each.instrument or "none"] += each.files
        types[each.observation_type or "none"] += each.files
    answer = {
        "night": str(view.night),
        "begins": view.begins.isoformat(),
        "ends": view.ends.isoformat(),
        "files": view.files,
        "is_cut": view.is_cut,
        "by_instrument": dict(instruments),
        "by_type": dict(types),
        "stages": view.stage_counts,
    }
    return json_answer(request, answer)
