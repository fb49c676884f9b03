"""Those who follow what comes: one look a second at the database for all of them, and streams of events.

While nobody follows, nothing is asked. A stream ends after an hour, so that rights are asked for again; a
browser, and a client that sends the ``Last-Event-ID`` that it has, goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import format_sse_event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.concurrency import run_in_threadpool

from fits_dagster.ledger.announcements import Listener
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site
from fits_dagster.stages.registry import all_stages
from fits_dagster.web.heads import is_head

__all__ = ["EVENT_STREAM", "EventBatch", "Watch", "stream", "wants_stream"]

EVENT_STREAM: Final = "text/event-stream"
#: Seconds between looks when nothing is announced.
_LOOK_S: Final = 1.0
#: For so long after a change those who follow look again: a transaction may still hold something back.
_AFTERMATH_S: Final = 5.0
#: Without news a line is sent, so that no one on the way takes the connection for dead.
_SILENCE_S: Final = 15.0
_LONGEST_S: Final = 3600.0
_MOST_FOLLOWERS: Final = 200
_RETRY_MS: Final = 2000


class Watch:
    """Tells followers that something may have come to a site's database."""

    def __init__(self, site: Site) -> None:
        self._engine = site.engine
        self._followers = 0
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether nobody else may follow."""
        return self._followers >= _MOST_FOLLOWERS

    async def __aenter__(self) -> Watch:
        self._followers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._look_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._followers -= 1
        if not self._followers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def change(self) -> None:
        """Wait until something may have come, or for a while."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _SILENCE_S)

    async def _look_on(self) -> None:
        listener = await run_in_threadpool(Listener(self._engine, tuple(all_stages())).__enter__)
        try:
            known: Any = None
            news_at = 0.0
            while True:
                await run_in_threadpool(listener.wait, _LOOK_S)
                newest = await run_in_threadpool(self._newest)
                now = time.monotonic()
                if newest != known:
                    known, news_at = newest, now
                if now - news_at < _AFTERMATH_S:
                    changed, self._changed = self._changed, asyncio.Event()
                    changed.set()
        finally:
            listener.__exit__(None, None, None)

    def _newest(self) -> Any:
        try:
            with self._engine.connect() as connection:
                return connection.execute(RECORDS["newest"]).one()
        except (DBAPIError, PoolTimeoutError):
            # streams that cannot read end, and are begun anew by their clients
            return None


@dataclass(frozen=True)
class EventBatch:
    """Events that are sent at once."""

    #: Where each event leaves off, its kind, and its data.
    events: Sequence[tuple[str, str, Any]]
    #: Where to go on.
    cursor: str
    #: Whether there is more already.
    is_cut: bool


def wants_stream(request: Request) -> bool:
    """Tell whether who asks wants a stream of events, and not a page."""
    return EVENT_STREAM in request.headers.get("accept", "")


def stream(request: Request, begin: str, read: Callable[[str], EventBatch]) -> Response:
    """Answer with a stream of events.

    Parameters
    ----------
    begin
        Where to begin.
    read
        Reads what has come behind a place, from the database.

    Raises
    ------
    fastapi.HTTPException
        503; too many follow.
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if is_head(request):
        return Response(media_type=EVENT_STREAM, headers=headers)
    watch: Watch = request.app.state.watch
    if watch.is_full:
        raise HTTPException(503, "too many follow already; ask for pages instead")
    return StreamingResponse(_lines(watch, begin, read), media_type=EVENT_STREAM, headers=headers)


async def _lines(watch: Watch, cursor: str, read: Callable[[str], EventBatch]) -> AsyncIterator[bytes]:
    until = time.monotonic() + _LONGEST_S
    yield format_sse_event(retry=_RETRY_MS)
    async with watch:
        while time.monotonic() < until:
            batch = await run_in_threadpool(read, cursor)
            cursor = batch.cursor
            for place, kind, data in batch.events:
                text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
                yield format_sse_event(data_str=text, event=kind, id=place)
            if not batch.is_cut:
                if not batch.events:
                    yield format_sse_event(comment="")
                await watch.change()
