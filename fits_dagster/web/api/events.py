"""``/api/v1/events``: what has come, in the order in which it came; as pages, or as it comes.

It is the change feed (:mod:`fits_dagster.records.feed`): nothing is told twice, nothing is left out. A client
that accepts ``text/event-stream`` gets an event for each version that comes, whose id is a cursor; sent back
as ``Last-Event-ID``, the stream goes on behind it.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fits_dagster.records import feed
from fits_dagster.records.horizon import settled_until
from fits_dagster.web.access import site_of
from fits_dagster.web.answers import json_answer
from fits_dagster.web.api.parameters import described, select_by_query
from fits_dagster.web.api.records import LIMIT, Cursor, Limit, api_record, next_address
from fits_dagster.web.api.shapes import Arrivals
from fits_dagster.web.shapes import Responses
from fits_dagster.web.versions import versions_query
from fits_dagster.web.visibility import viewer_of
from fits_dagster.web.watch import EVENT_STREAM, EventBatch, stream, wants_stream

__all__ = ["router"]

router = APIRouter()

_STREAM: Responses = {200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}}


@router.get("/events", response_model=Arrivals, responses=_STREAM, openapi_extra=described(order=False))
def events(request: Request, limit: Limit = LIMIT, cursor: Cursor = None) -> Response:
    """Tell which versions of a selection have come: a page, or a stream of events ``arrived``.

    A page without a cursor begins with the first version that ever came, a stream with what comes now.
    """
    selection = select_by_query(request, "limit", "cursor")
    # what has come remains told when a newer version comes
    selection.conditions.pop("canonical")
    query, viewer = versions_query().where(selection.where), viewer_of(request)
    engine = site_of(request).engine

    def read(place: str) -> feed.FeedPage:
        with engine.connect() as connection:
            return feed.read_page(connection, query, cursor=place, span=None, limit=limit)

    def batch(place: str) -> EventBatch:
        page = read(place)
        events = [
            (feed.cursor_at(row.entrytime, row.diskfile_id), "arrived", api_record(request, row, viewer))
            for row in page.rows
        ]
        return EventBatch(events, page.cursor, page.is_cut)

    if wants_stream(request):
        begin = request.headers.get("last-event-id") or cursor
        if begin:
            # a place that is none is refused before the stream begins
            read(begin)
        else:
            with engine.connect() as connection:
                begin = feed.cursor_at(settled_until(connection))
        return stream(request, begin, batch)
    page = read(cursor or "0.0")
    answer = {
        "items": [api_record(request, row, viewer) for row in page.rows],
        "cursor": page.cursor,
        "complete_until": page.complete_until.isoformat(),
        "next": next_address(request, page.cursor if page.is_cut else None),
    }
    return json_answer(request, answer)
