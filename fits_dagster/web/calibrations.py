"""The operators' calibration page: what files of a selection need, what is far, missing, or to be taken."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response
from sqlalchemy import func, select

from fits_dagster.calibration.overview import calibration_needs
from fits_dagster.database.selection import path_elements, select_files
from fits_dagster.database.tables import diskfile, file, header
from fits_dagster.web.access import current_person, site_of
from fits_dagster.web.pages import page

__all__ = ["router"]

router = APIRouter()

_MOST_TARGETS: Final = 2000
#: Programs of this kind are for tests of the system.
_TESTS: Final = "SV-101"


@router.get("/calibrations/{rest:path}")
def calibration_page(request: Request) -> Response:
    """Show the raw calibrations that the files of a selection need, newest file first."""
    site = site_of(request)
    elements = path_elements(request.scope.get("raw_path") or b"", "calibrations")
    selection = select_files(elements, archive=site.name == "archive")
    if selection.is_open:
        raise HTTPException(406, "the selection names neither a date, nor a program, nor a file")
    targets = (
        select(header.c.id)
        .select_from(header.join(diskfile, diskfile.c.id == header.c.diskfile_id).join(file))
        .where(
            diskfile.c.canonical,
            header.c.qa_state != "Fail",
            header.c.engineering.is_(False),
            func.coalesce(header.c.program_id, "").not_like(f"%{_TESTS}%"),
            selection.where,
        )
        .order_by(header.c.ut_datetime.desc().nulls_last(), header.c.id.desc())
        .limit(_MOST_TARGETS)
    )
    with site.engine.connect() as connection:
        files = calibration_needs(connection, connection.scalars(targets).all())
    current_person(request)
    now = datetime.now(UTC)
    return page(
        request,
        "calibrations.html",
        selection="/".join(elements),
        files=[(each, each.take_now(now)) for each in files],
    )
