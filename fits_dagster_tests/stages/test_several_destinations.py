"""Exports to several destinations: each has its own state and pace, whatever becomes of the others."""

from __future__ import annotations

import bz2
import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.queries import QUERIES
from fits_dagster.sites import Site
from fits_dagster.stages import export, ingest
from fits_dagster_tests.builders.flow import store_of
from fits_dagster_tests.builders.sites import serve

WEEK_S = 7 * 86400


@dataclass
class Archive:
    """An archive that remembers what it was sent; it may be away."""

    url: str = ""
    is_away: bool = False
    held: dict[str, str] = field(default_factory=dict)
    #: Requests by route, those that it did not answer included.
    asked: Counter[str] = field(default_factory=Counter)

    def application(self) -> FastAPI:
        app = FastAPI()

        @app.get("/jsonfilelist/{rest:path}")
        def listing(rest: str) -> Response:
            self.asked["listing"] += 1
            if self.is_away:
                return Response(status_code=502)
            name = rest.rpartition("/")[2].rpartition("=")[2].removesuffix(".bz2")
            held = [{"name": name, "data_md5": self.held[name]}] if name in self.held else []
            return JSONResponse(held)

        @app.post("/upload_file/{rest:path}")
        async def upload(rest: str, request: Request) -> Response:
            self.asked["upload"] += 1
            body = await request.body()
            if self.is_away:
                return Response(status_code=502)
            name = rest.rpartition("/")[2]
            self.held[name.removesuffix(".bz2")] = hashlib.md5(bz2.decompress(body)).hexdigest()
            said = {"filename": name, "size": len(body), "md5": hashlib.md5(body).hexdigest()}
            return JSONResponse([said])

        return app


@pytest.fixture
def archives() -> Iterator[list[Archive]]:
    """Two archives."""
    made, stops = [Archive(), Archive()], []
    for each in made:
        server, stop = serve(each.application())
        each.url = server.url
        stops.append(stop)
    yield made
    for stop in stops:
        stop()


@pytest.fixture
def site(summit: Site, archives: list[Archive]) -> Site:
    """A summit that exports to both."""
    urls = tuple(each.url for each in archives)
    return replace(summit, settings=summit.settings.model_copy(update={"export_destinations": urls}))


def ingest_files(site: Site, sources: Sequence[Path]) -> dict[str, str]:
    """Let files come in; returns the MD5 of each."""
    for source in sources:
        shutil.copy(source, store_of(site))
    with site.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=source.name) for source in sources])
    assert drain(site, ingest.STAGE).done == len(sources)
    return {source.name: hashlib.md5(source.read_bytes()).hexdigest() for source in sources}


def waiting(site: Site) -> dict[str, int]:
    """Exports that wait, by destination."""
    query = text("select destination, count(*) from work_item where stage = 'export' group by 1")
    with site.engine.connect() as connection:
        return {url: number for url, number in connection.execute(query)}


def destinations_down(site: Site, *, seconds: float) -> list[Any]:
    with site.engine.connect() as connection:
        return list(connection.execute(QUERIES["destinations_down"], {"seconds": seconds}))


def let_time_pass(site: Site, seconds: float) -> None:
    """Make all that waits as much older, and due."""
    with site.engine.begin() as connection:
        connection.execute(
            text("update work_item set added_at = added_at - make_interval(secs => :s), not_before = now()"),
            {"s": seconds},
        )
        connection.execute(text("update destination set retry_at = now()"))


def test_one_that_is_away_for_a_week_holds_nobody_up_and_catches_up(
    site: Site, archives: list[Archive], night: list[Path]
) -> None:
    near, far = archives
    far.is_away = True
    sent = ingest_files(site, night[:6])
    drain(site, export.ExportStage())
    assert near.held == sent
    assert waiting(site) == {far.url: 6}

    let_time_pass(site, WEEK_S)
    [down] = destinations_down(site, seconds=WEEK_S - 60)
    assert (down.destination, down.waiting) == (far.url, 6)
    before = far.asked.total()
    sent |= ingest_files(site, night[6:9])
    drain(site, export.ExportStage())
    assert near.held == sent, "the others go on"
    assert waiting(site) == {far.url: 9}
    workers = site.workers
    assert far.asked.total() - before <= workers, "one probe, not a time-out for each file"

    far.is_away = False
    let_time_pass(site, 60)
    uploads = near.asked["upload"]
    # all but the probe wait for its outcome
    for _ in range(3):
        drain(site, export.ExportStage())
        let_time_pass(site, 0)
    assert far.held == sent
    assert waiting(site) == {}
    assert near.asked["upload"] == uploads == len(sent), "nothing is sent twice"
    assert destinations_down(site, seconds=0) == []
