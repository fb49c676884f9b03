"""``/about``: everything that is known of one file, as far as the visitor may know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Connection, Row

from fits_dagster.calibration.lookup import (
    CalibrationList,
    UseOfCalibration,
    associations_of,
    current_header,
    uses_of,
)
from fits_dagster.calibration.rules import CALTYPES
from fits_dagster.fits.names import trimmed
from fits_dagster.records.files import has_preview, text_query
from fits_dagster.records.history import FileHistory, file_history
from fits_dagster.records.tables import diskfile, diskfile_report, fulltextheader
from fits_dagster.stages.whereabouts import file_sentence
from fits_dagster.web.access import current_person, site_of
from fits_dagster.web.columns import shown
from fits_dagster.web.explained import explained
from fits_dagster.web.forms import form_token
from fits_dagster.web.pages import page
from fits_dagster.web.queues import queue_of_stage, run_link
from fits_dagster.web.versions import find_version, key_of, versions_query
from fits_dagster.web.visibility import POSITION_FIELDS, viewer_of

__all__ = ["router"]

router = APIRouter()

#: Fields of the record that are shown first, and their labels.
_FACTS: Final[Mapping[str, str]] = {
    "object": "Object",
    "ut_datetime": "Begin (UT)",
    "exposure_time": "Exposure, seconds",
    "coadds": "Coadds",
    "instrument": "Instrument",
    "observation_type": "Type",
    "observation_class": "Class",
    "filter_name": "Filter",
    "disperser": "Disperser",
    "focal_plane_mask": "Slit or mask",
    "central_wavelength": "Central wavelength, µm",
    "detector_binning": "Binning",
    "ra": "Right ascension, degrees",
    "dec": "Declination, degrees",
    "airmass": "Airmass",
    "data_label": "Data label",
    "observation_id": "Observation",
    "program_id": "Program",
    "qa_state": "Quality",
    "processing": "Processing",
    "release": "Released",
}
#: Values that lead to a search for them.
_SEARCHED: Final = frozenset({"data_label", "observation_id", "program_id", "instrument"})
_USES: Final = 60


@dataclass(frozen=True)
class _Fact:
    label: str
    value: str
    link: str = ""


@dataclass(frozen=True)
class _Texts:
    """Texts about the current version; none where it must not be told where the frame points."""

    headers: str = ""
    structure: str = ""
    metadata: str = ""


@router.get("/about/{rest:path}", response_class=HTMLResponse)
def about_page(
    request: Request,
    rest: str,
    find: Annotated[str, Query(description="Only lines of the headers that hold this.", max_length=80)] = "",
    why: Annotated[str, Query(description="Type of calibration to explain.", max_length=40)] = "",
) -> Response:
    """Show a file, ``[path/]name``: picture, facts, calibrations and why, uses, headers, versions."""
    site, viewer, person = site_of(request), viewer_of(request), current_person(request)
    has_role = person is not None and person.may("reader")
    row = _current(request, rest, has_role=has_role)
    name = row.name if row is not None else trimmed(rest.rpartition("/")[2])
    known: dict[str, Any] = {}
    with site.engine.connect() as connection:
        history = file_history(connection, name)
        if row is None and not history.is_known:
            raise HTTPException(404, "no such file")
        if row is not None:
            sees_position = viewer.sees_position(row)
            known = {
                "facts": _facts(row, sees_position=sees_position),
                "sees_file": viewer.sees_file(row),
                "sees_position": sees_position,
                "has_preview": row.has_preview,
                "texts": _texts(connection, row) if sees_position else _Texts(),
                "uses": _uses(connection, row),
                "others": _fields(row, sees_position=sees_position),
            }
            if sees_position:
                known["calibrations"] = _calibrations(connection, row)
    if why in CALTYPES and "calibrations" in known:
        known["explained"] = {why: _explanation(request, row, why)}
    return page(
        request,
        "about.html",
        name=name,
        row=row,
        key=key_of(row) if row is not None else "",
        place=_place(row) if row is not None else quote(name),
        history=_cut(history, has_role=has_role),
        sentence=file_sentence(history) if has_role else "",
        find=find,
        has_role=has_role,
        queue_of=lambda stage: queue_of_stage(site, stage),
        run_link=run_link,
        token=form_token(request) if has_role else "",
        **known,
    )


def _current(request: Request, rest: str, *, has_role: bool) -> Row[Any] | None:
    """Return the current version; None for a file without one, which is shown to who may see the queues."""
    try:
        found = find_version(site_of(request), rest, canonical=True)
    except HTTPException as error:
        if error.status_code != 404 or not has_role or "\x00" in rest:
            raise
        return None
    query = versions_query().add_columns(has_preview().label("has_preview"))
    with site_of(request).engine.connect() as connection:
        return connection.execute(query.where(diskfile.c.id == found.diskfile_id)).one()


def _place(row: Row[Any]) -> str:
    return quote(f"{row.path}/{row.name}" if row.path else row.name)


def _facts(row: Row[Any], *, sees_position: bool) -> list[_Fact]:
    facts = []
    for name, label in _FACTS.items():
        value = shown(row._mapping[f"header_{name}"])
        if name in POSITION_FIELDS and not sees_position:
            value = "not public yet"
        if value:
            link = f"/searchform/{quote(value, safe='')}" if name in _SEARCHED else ""
            facts.append(_Fact(label, value, link))
    return facts


def _fields(row: Row[Any], *, sees_position: bool) -> list[_Fact]:
    """Return all fields of the record that have a value."""
    prefix = "header_"
    return [
        _Fact(name.removeprefix(prefix), shown(value))
        for name, value in row._mapping.items()
        if name.startswith(prefix)
        and value is not None
        and (sees_position or name.removeprefix(prefix) not in POSITION_FIELDS)
    ]


def _texts(connection: Connection, row: Row[Any]) -> _Texts:
    columns = (fulltextheader.c.fulltext, diskfile_report.c.fvreport, diskfile_report.c.mdreport)
    return _Texts(*(connection.scalar(text_query(column, row.diskfile_id)) or "" for column in columns))


def _uses(connection: Connection, row: Row[Any]) -> Sequence[UseOfCalibration]:
    try:
        header_id = current_header(connection, f"{row.path}/{row.name}")
    except LookupError:
        return ()
    return uses_of(connection, header_id, limit=_USES)


def _calibrations(connection: Connection, row: Row[Any]) -> Sequence[CalibrationList]:
    """Return the calibrations that a file needs by type, as the cache has them, best first."""
    try:
        found = associations_of(connection, f"{row.path}/{row.name}")
    except LookupError:
        # a file without a record needs none
        return ()
    return [each for each in found if each.applicable or each.calibrations]


def _explanation(request: Request, row: Row[Any] | None, caltype: str) -> Mapping[str, Any] | None:
    """Explain one type, computed afresh: that takes longer than all the rest of the page."""
    if row is None:
        return None
    return explained(request, f"{row.path}/{row.name}", caltype).get(caltype)


def _cut(history: FileHistory, *, has_role: bool) -> FileHistory:
    """Leave out what is for those who look after the queues."""
    return history if has_role else FileHistory(history.name, versions=history.versions)
