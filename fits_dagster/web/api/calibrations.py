"""``/api/v1/calibrations``: the calibrations of a file, in the order of their rank, and why these."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fits_dagster.web.access import site_of
from fits_dagster.web.answers import json_answer
from fits_dagster.web.api.shapes import Calibrations
from fits_dagster.web.explained import explained
from fits_dagster.web.versions import find_version

__all__ = ["router"]

router = APIRouter()


@router.get("/calibrations/{rest:path}", response_model=Calibrations)
def calibrations(request: Request, rest: str) -> Response:
    """Tell the calibrations that a file, ``[path/]name``, needs: which were chosen, who was passed over."""
    row = find_version(site_of(request), rest, canonical=True)
    place = f"{row.path}/{row.name}" if row.path else f"/{row.name}"
    types = list(explained(request, place).values())
    return json_answer(request, {"name": row.name, "types": types})
