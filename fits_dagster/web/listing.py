"""Lists for programs: versions of files, their records, their quality; as JSON and as XML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import Row

from fits_dagster.records import feed
from fits_dagster.records.selected import QA_COLUMNS, headers_query
from fits_dagster.records.selection import Ordering, Selection
from fits_dagster.records.selection.ordering import order_by
from fits_dagster.records.tables import diskfile, header
from fits_dagster.web.access import site_of
from fits_dagster.web.answers import json_answer, xml_answer
from fits_dagster.web.selecting import Cursor, OrderBy, SelectionPath, orderings_of, read_selection
from fits_dagster.web.shapes import ListedName, Quality, RecordEntry, VersionEntry, content
from fits_dagster.web.versions import file_entry, versions_query
from fits_dagster.web.visibility import record_entry, viewer_of
from fits_dagster.web.xmllist import file_list_xml

__all__ = ["COMPLETE_HEADER", "Listed", "list_versions", "router"]

router = APIRouter()

#: Until when the answer of the change feed is complete.
COMPLETE_HEADER: Final = "X-Fits-Dagster-Complete-Until"


@dataclass(frozen=True)
class Listed:
    """Rows of a selection, and what is to be said of them."""

    rows: list[Row[Any]]
    selection: Selection
    #: Whether there are more than are told.
    is_cut: bool
    headers: dict[str, str]

    def said(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Let the last entry carry what there is to say, as clients expect it of the truncation."""
        if entries and self.selection.not_recognised:
            entries[-1]["not_understood"] = self.selection.not_recognised
        return entries


@router.get("/jsonfilelist/{rest:path}", response_model=list[VersionEntry])
def json_file_list(
    request: Request, orderby: OrderBy, rest: SelectionPath, cursor: Cursor = None
) -> Response:
    """List versions of files; ``present`` and ``canonical`` are not implied."""
    listed = list_versions(request, "jsonfilelist", implied_canonical=False)
    entries = listed.said([file_entry(row) for row in listed.rows])
    return json_answer(request, entries, listed.headers)


@router.get("/jsonfilenames/{rest:path}", response_model=list[ListedName])
def json_file_names(
    request: Request, orderby: OrderBy, rest: SelectionPath, cursor: Cursor = None
) -> Response:
    """List the names of the same files."""
    listed = list_versions(request, "jsonfilenames", implied_canonical=False)
    return json_answer(request, listed.said([{"name": row.name} for row in listed.rows]), listed.headers)


@router.get("/xmlfilelist/{rest:path}", response_class=Response, responses=content("text/xml"))
def xml_file_list(request: Request, orderby: OrderBy, rest: SelectionPath, cursor: Cursor = None) -> Response:
    """List the same versions as XML."""
    listed = list_versions(request, "xmlfilelist", implied_canonical=False)
    entries = [file_entry(row) for row in listed.rows]
    return xml_answer(request, file_list_xml(listed.selection, entries, is_cut=listed.is_cut), listed.headers)


@router.get("/jsonsummary/{rest:path}", response_model=list[RecordEntry])
def json_summary(request: Request, orderby: OrderBy, rest: SelectionPath, cursor: Cursor = None) -> Response:
    """List the records of files; only canonical versions unless the URL says otherwise."""
    listed = list_versions(request, "jsonsummary", implied_canonical=True, with_header=True)
    viewer = viewer_of(request)
    entries = [record_entry(row, viewer) for row in listed.rows]
    if entries and (listed.selection.is_open or listed.is_cut):
        entries[-1]["results_truncated"] = True
    return json_answer(request, listed.said(entries), listed.headers)


@router.get("/jsonqastate/{rest:path}", response_model=list[Quality])
def json_qa_state(request: Request, rest: SelectionPath) -> Response:
    """List labels and quality of canonical versions, for the observing database; there is no limit."""
    selection = read_selection(request, "jsonqastate")
    selection.conditions.setdefault("canonical", diskfile.c.canonical)
    query = headers_query(*QA_COLUMNS).where(selection.where)
    with site_of(request).engine.connect() as connection:
        entries = [
            {
                "data_label": row.data_label,
                "filename": row.name,
                "data_md5": row.data_md5,
                "entrytime": row.entrytime.isoformat(sep=" "),
                "qa_state": row.qa_state,
            }
            for row in connection.execute(query)
        ]
    return json_answer(request, entries)


def list_versions(
    request: Request, feature: str, *, implied_canonical: bool, with_header: bool = False
) -> Listed:
    """Find the versions of a request's selection, in its order, up to the limit.

    What has come since a time (``entrytimedaterange``), or a page of it (``?cursor=``), is told in the order
    in which it came, see :mod:`fits_dagster.records.feed`.
    """
    selection = read_selection(request, feature)
    if implied_canonical:
        selection.conditions.setdefault("canonical", diskfile.c.canonical)
    if with_header:
        selection.conditions["has_header"] = header.c.id.is_not(None)
    limit = site_of(request).settings.most_files(is_open=selection.is_open)
    orderings = orderings_of(request, selection)
    cursor = request.query_params.get("cursor")
    is_feed = cursor is not None or (selection.is_feed and _are_by_entry(orderings))
    query = versions_query().where(selection.where)
    headers: dict[str, str] = {}
    with site_of(request).engine.connect() as connection:
        if is_feed:
            page = feed.read_page(
                connection, query, cursor=cursor, span=selection.values.get("entrytimedaterange"), limit=limit
            )
            rows, is_cut = page.rows, page.is_cut
            headers |= _feed_headers(request, page)
        else:
            order = order_by(
                orderings, is_open=selection.is_open, hidden=viewer_of(request).hidden_position()
            )
            rows = list(connection.execute(query.order_by(*order).limit(limit + 1)).all())
            is_cut = len(rows) > limit
            rows = rows[:limit]
    if is_cut:
        headers["X-Fits-Dagster-Truncated"] = str(limit)
    return Listed(rows, selection, is_cut, headers)


def _feed_headers(request: Request, page: feed.FeedPage) -> dict[str, str]:
    """Return what a client needs to go on."""
    url = request.url.include_query_params(cursor=page.cursor)
    known = {COMPLETE_HEADER: page.complete_until.isoformat(), "X-Fits-Dagster-Cursor": page.cursor}
    return known | ({"Link": f'<{url.path}?{url.query}>; rel="next"'} if page.is_cut else {})


def _are_by_entry(orderings: Iterable[Ordering]) -> bool:
    """Tell whether an order is that of the change feed, which is also that of none."""
    return all(each == Ordering("entrytime") for each in orderings)
