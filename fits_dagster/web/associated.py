"""Associated calibrations over HTTP: those of the files of a selection, and those that these need."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import any_, bindparam
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT

from fits_dagster.calibration.lookup import MOST_LEVELS, associated_calibrations
from fits_dagster.calibration.rules import CALTYPES
from fits_dagster.records.selected import targets_query
from fits_dagster.records.selection import path_elements
from fits_dagster.records.tables import header
from fits_dagster.web.access import site_of
from fits_dagster.web.errors import refusal
from fits_dagster.web.selecting import SelectionPath, read_selection
from fits_dagster.web.shapes import LevelledEntry
from fits_dagster.web.versions import NO_CACHE, file_entry, versions_query

__all__ = ["router"]

router = APIRouter()

_FEATURE: Final = "associatedcals"
_MOST_TARGETS: Final = 2000
_IDS: Final = bindparam("ids", type_=ARRAY(BIGINT))


@router.get("/associatedcals/{rest:path}", response_model=list[LevelledEntry])
def associated_files(
    request: Request, rest: SelectionPath, levels: Annotated[int, Query(ge=1, le=MOST_LEVELS)] = MOST_LEVELS
) -> Response:
    """List the calibrations of a selection's current files, those of the calibrations, and so on.

    With a type of calibration among the elements only those of that type, without further levels.
    """
    site = site_of(request)
    elements = path_elements(request.scope.get("raw_path") or b"", _FEATURE)
    caltype = next((each for each in reversed(elements) if each in CALTYPES), None)
    selection = read_selection(request, _FEATURE, without=CALTYPES)
    if selection.is_open:
        reason = "the selection names neither a date, nor a program, nor a file"
        return refusal(406, reason, NO_CACHE)
    targets = targets_query(selection.where, most=_MOST_TARGETS)
    versions = versions_query().add_columns(header.c.id.label("header_id")).where(header.c.id == any_(_IDS))
    with site.engine.connect() as connection:
        found = associated_calibrations(
            connection, connection.scalars(targets).all(), levels=levels, caltype=caltype
        )
        rows = connection.execute(versions, {"ids": [each.header_id for each in found]}).all()
    entries: dict[int, dict[str, Any]] = {row.header_id: file_entry(row) for row in rows}
    return JSONResponse(
        [
            entries[each.header_id]
            | {
                "caltype": each.caltype,
                "rank": each.rank,
                "primary": each.is_primary,
                "level": each.level,
            }
            for each in found
        ],
        headers=NO_CACHE,
    )
