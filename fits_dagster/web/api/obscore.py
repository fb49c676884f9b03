"""``/api/v1/obscore.csv`` and ``.vot``: records as a table of ObsCore, which TOPCAT and its like open."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from fits_dagster.nights import FileKey
from fits_dagster.records.obscore import COLUMNS, obscore_query, obscore_row
from fits_dagster.records.tables import header
from fits_dagster.web.access import site_of
from fits_dagster.web.answers import content_disposition
from fits_dagster.web.api.parameters import described, select_by_query
from fits_dagster.web.shapes import content
from fits_dagster.web.visibility import viewer_of

__all__ = ["TRUNCATED_HEADER", "router"]

router = APIRouter()

#: How many rows there are when there would be more.
TRUNCATED_HEADER: Final = "X-Fits-Dagster-Truncated"
_ROWS: Final = 10_000
_MOST_ROWS: Final = 50_000
_CSV: Final = "text/csv"
_VOTABLE: Final = "application/x-votable+xml"
_MISSING: Final = -1
_Row = Mapping[str, Any]

MaxRec = Annotated[int, Query(ge=1, le=_MOST_ROWS, description="Most rows; a table that is cut says so.")]


@router.get(
    "/obscore.csv",
    response_class=Response,
    responses=content(_CSV),
    openapi_extra=described(order=False),
)
def as_csv(request: Request, maxrec: MaxRec = _ROWS) -> Response:
    """Send the records of a selection as a table of ObsCore, the latest first, as CSV."""
    rows, headers = _rows(request, maxrec, "obscore.csv")
    return StreamingResponse(_lines(rows), media_type=_CSV, headers=headers)


@router.get(
    "/obscore.vot",
    response_class=Response,
    responses=content(_VOTABLE),
    openapi_extra=described(order=False),
)
def as_votable(request: Request, maxrec: MaxRec = _ROWS) -> Response:
    """Send the same table as a VOTable; one that is cut has the query status OVERFLOW."""
    rows, headers = _rows(request, maxrec, "obscore.vot")
    body = _votable(rows, is_cut=TRUNCATED_HEADER in headers)
    return Response(body, media_type=_VOTABLE, headers=headers)


def _rows(request: Request, maxrec: int, name: str) -> tuple[Sequence[_Row], dict[str, str]]:
    selection = select_by_query(request, "maxrec")
    viewer = viewer_of(request)
    query = obscore_query(
        selection.where,
        header.c.release.label("header_release"),
        header.c.proprietary_coordinates.label("header_proprietary_coordinates"),
        header.c.observation_id.label("header_observation_id"),
        header.c.program_id.label("program"),
    )
    base = str(request.base_url).rstrip("/")
    publisher = f"ivo://{request.url.hostname}/{site_of(request).name}"
    with site_of(request).engine.connect() as connection:
        found = connection.execute(query.limit(maxrec + 1)).all()
    rows = [
        obscore_row(
            row,
            shows_position=viewer.sees_position(row),
            url=f"{base}/file/{quote(str(FileKey(row.path, row.filename)))}",
            publisher=publisher,
        )
        for row in found[:maxrec]
    ]
    headers = {"Content-Disposition": content_disposition(name), "Cache-Control": "no-cache"}
    return rows, headers | ({TRUNCATED_HEADER: str(maxrec)} if len(found) > maxrec else {})


def _lines(rows: Sequence[_Row]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [column.name for column in COLUMNS])
    writer.writeheader()
    for start in range(0, max(1, len(rows)), 1000):
        writer.writerows(rows[start : start + 1000])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _votable(rows: Sequence[_Row], *, is_cut: bool) -> bytes:
    # half a second that nobody else needs
    import numpy as np
    from astropy.io.votable import tree

    votable = tree.VOTableFile(version="1.4")
    resource = tree.Resource(type="results")
    votable.resources.append(resource)
    status = "OVERFLOW" if is_cut else "OK"
    resource.infos.append(tree.Info(name="QUERY_STATUS", value=status))
    table = tree.TableElement(votable, name="ObsCore")
    table.utype = "ivo://ivoa.net/std/ObsCore#table-1.1"
    resource.tables.append(table)
    for column in COLUMNS:
        size = {"arraysize": "*"} if column.datatype == "char" else {}
        unit = {"unit": column.unit} if column.unit else {}
        table.fields.append(
            tree.Field(
                votable,
                name=column.name,
                ID=column.name,
                datatype="unicodeChar" if column.datatype == "char" else column.datatype,
                ucd=column.ucd,
                utype=column.utype,
                **size,
                **unit,
            )
        )
    table.create_arrays(len(rows))
    for column in COLUMNS:
        is_text = column.datatype == "char"
        values = [row.get(column.name) for row in rows]
        table.array[column.name] = np.ma.array(
            [("" if is_text else _MISSING) if value is None else value for value in values],
            mask=[value is None for value in values],
            dtype=object if is_text else table.array.dtype[column.name],
        )
    buffer = io.BytesIO()
    votable.to_xml(buffer)
    return buffer.getvalue()
