"""Tables for people: files of a selection, their versions, their calibrations; which programs have data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Row, any_, bindparam
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT

from fits_dagster.calibration.lookup import associated_calibrations
from fits_dagster.nights import FileKey
from fits_dagster.records.selected import headers_query, observations_query, observing_logs_query
from fits_dagster.records.selection import path_elements, select_files
from fits_dagster.records.tables import diskfile, file, header, obslog
from fits_dagster.web.access import current_person, site_of
from fits_dagster.web.columns import Column, cells_of, chosen_columns, shown
from fits_dagster.web.listing import list_versions
from fits_dagster.web.pages import page
from fits_dagster.web.selecting import Cursor, OrderBy, SelectionPath, read_selection
from fits_dagster.web.versions import key_of, versions_query
from fits_dagster.web.visibility import viewer_of

__all__ = ["router"]

router = APIRouter()

_IDS: Final = bindparam("ids", type_=ARRAY(BIGINT))


_MOST_LOGS: Final = 1000
_SPANS: Final = ("date", "daterange", "night", "nightrange")
_VERSION_COLUMNS: Final[Sequence[Column]] = (
    Column("File", lambda row: (key_of(row), f"/file/{quote(key_of(row))}" if row.present else "")),
    Column("Present", lambda row: (str(row.present), "")),
    Column("Canonical", lambda row: (str(row.canonical), "")),
    Column("Entered", lambda row: (shown(row.entrytime), "")),
    Column("Changed", lambda row: (shown(row.lastmod), "")),
    Column("Size", lambda row: (str(row.file_size), "")),
    Column("MD5", lambda row: (row.file_md5, "")),
    Column("MD5 of the data", lambda row: (row.data_md5, "")),
)


@router.get("/summary/{rest:path}", response_class=HTMLResponse)
def summary_page(request: Request, orderby: OrderBy, rest: SelectionPath, cursor: Cursor = None) -> Response:
    """Show the files of a selection as a table; ``cols=`` chooses its columns."""
    columns = _columns(request, "summary")
    listed = list_versions(request, "summary", implied_canonical=True, with_header=True)
    return _table(request, listed.rows, columns, listed.selection.elements, is_cut=listed.is_cut)


@router.get("/ssummary/{rest:path}", include_in_schema=False)
@router.get("/lsummary/{rest:path}", include_in_schema=False)
def other_summaries(request: Request, rest: str) -> Response:
    """Lead to the one table that there is."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/summary/{quote(rest, safe='/=:,')}{query}", 302)


@router.get("/diskfiles/{rest:path}", response_class=HTMLResponse)
def versions_page(request: Request, orderby: OrderBy, rest: SelectionPath, cursor: Cursor = None) -> Response:
    """Show every version of the files of a selection."""
    listed = list_versions(request, "diskfiles", implied_canonical=False)
    return _table(request, listed.rows, _VERSION_COLUMNS, listed.selection.elements, is_cut=listed.is_cut)


@router.get("/associated_cals/{rest:path}", response_class=HTMLResponse)
def calibrations_page(
    request: Request, orderby: OrderBy, rest: SelectionPath, cursor: Cursor = None
) -> Response:
    """Show the calibrations of the files of a selection, and theirs."""
    columns = _columns(request, "associated_cals")
    listed = list_versions(request, "associated_cals", implied_canonical=True, with_header=True)
    of_files = headers_query(header.c.id).where(header.c.diskfile_id == any_(_IDS))
    chosen = versions_query().where(header.c.id == any_(_IDS)).order_by(file.c.name)
    with site_of(request).engine.connect() as connection:
        targets = connection.scalars(of_files, {"ids": [row.diskfile_id for row in listed.rows]}).all()
        found = {each.header_id for each in associated_calibrations(connection, targets)}
        rows = connection.execute(chosen, {"ids": sorted(found)}).all()
    return _table(request, rows, columns, listed.selection.elements, is_cut=listed.is_cut)


@router.get("/programsobserved/{rest:path}", response_class=HTMLResponse)
def programs_observed(request: Request, rest: SelectionPath) -> Response:
    """Show the programs and observations with data in a selection."""
    selection = read_selection(request, "programsobserved")
    if selection.is_open:
        raise HTTPException(406, "the selection names neither a date, nor a program, nor a file")
    selection.conditions.setdefault("canonical", diskfile.c.canonical)
    query = observations_query(selection.where)
    current_person(request)
    with site_of(request).engine.connect() as connection:
        rows = [
            (
                (program or "none", f"/programinfo/{quote(program)}" if program else ""),
                (observation or "none", f"/summary/{quote(observation)}" if observation else ""),
                (instrument or "", ""),
                (str(count), ""),
            )
            for program, observation, instrument, count in connection.execute(query)
        ]
    return page(
        request,
        "table.html",
        title=f"Programs observed: {'/'.join(selection.elements)}",
        columns=("Program", "Observation", "Instrument", "Files"),
        rows=rows,
    )


@router.get("/obslogs/{rest:path}", response_class=HTMLResponse)
def observing_logs(request: Request, rest: SelectionPath) -> Response:
    """Show the observing logs of dates, nights or programs, the newest first."""
    selection = read_selection(request, "obslogs")
    query = observing_logs_query(most=_MOST_LOGS)
    site = site_of(request).settings
    for element in selection.elements:
        has_effect = select_files([element], site).values.keys() & {*_SPANS, "program_id"}
        if not has_effect and element not in selection.not_recognised:
            selection.not_recognised.append(element)
    for key in _SPANS:
        if (span := selection.values.get(key)) is not None:
            query = query.where(obslog.c.date >= span.start.date(), obslog.c.date < span.end)
    if (program := selection.values.get("program_id")) is not None:
        query = query.where(obslog.c.program_id == program)
    current_person(request)
    with site_of(request).engine.connect() as connection:
        rows = [
            ((str(day or ""), ""), (program or "", ""), (row_name, f"/file/{quote(key)}"))
            for day, program, path, row_name in connection.execute(query)
            for key in [str(FileKey(path, row_name))]
        ]
    title = f"Observing logs: {'/'.join(selection.elements) or 'the latest'}"
    return page(request, "table.html", title=title, columns=("Date", "Program", "File"), rows=rows)


def _columns(request: Request, feature: str) -> Sequence[Column]:
    """Return the columns that a request asks for."""
    return chosen_columns(path_elements(request.scope.get("raw_path") or b"", feature))


def _table(
    request: Request,
    rows: Sequence[Row[Any]],
    columns: Sequence[Column],
    elements: Sequence[str],
    *,
    is_cut: bool,
) -> Response:
    viewer = viewer_of(request)

    return page(
        request,
        "table.html",
        title="/".join(elements) or "All files",
        note=f"{len(rows)} files" + (", and there are more" if is_cut else ""),
        columns=[column.title for column in columns],
        rows=[cells_of(row, columns, viewer) for row in rows],
    )
