"""Export over real HTTP: asked first, sent compressed, verified, and nothing counts on a bad answer."""

from __future__ import annotations

import bz2
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from sqlalchemy import text

from fits_dagster.destinations.base import destination_path
from fits_dagster.ledger import batches
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.sites import Site
from fits_dagster.stages import export, ingest, store
from fits_dagster_tests.builders.sites import HttpServer, serve


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("", ""),
        ("alopeke/20251123", ""),  # <DATE> stands for a date
        ("alopeke/other", "alopeke/other"),  # the whole path must match
        ("masks", "masks"),
    ],
)
def test_paths_are_mapped_by_whole_expressions(path: str, there: str) -> None:
    assert destination_path(path, {"alopeke/<DATE>": ""}) == there


def ingested(site: Site, source: Path, path: str = "") -> None:
    assert site.settings.store_directory is not None
    target = site.settings.store_directory / path / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    with site.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", path=path, filename=source.name)])
    assert drain(site, ingest.STAGE).done == 1


def run_export(site: Site) -> DrainReport:
    return drain(site, export.ExportStage())


def items(site: Site) -> list[Any]:
    with site.engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    "select state, reason, not_before > now() as later from work_item where stage = 'export'"
                )
            )
        )


def requeue(site: Site, name: str) -> None:
    with site.engine.begin() as connection:
        connection.execute(text("delete from work_item where stage = 'export'"))
        connection.execute(text("delete from destination"))
        add_work(
            connection,
            [NewWork(stage="export", filename=name, destination=site.settings.export_destinations[0])],
        )


def test_a_file_travels_to_the_archive_unaltered_and_is_not_sent_twice(
    connected_summit: Site, archive: Site, night: list[Path]
) -> None:
    ingested(connected_summit, night[0])
    assert run_export(connected_summit).outcomes == {"exported": 1}
    assert drain(archive, store.STAGE).done == 1
    assert drain(archive, ingest.STAGE).done == 1
    with archive.store.local(f"{night[0].name}.bz2") as stored:
        assert bz2.decompress(stored.read_bytes()) == night[0].read_bytes()
    requeue(connected_summit, night[0].name)
    assert run_export(connected_summit).outcomes == {"already_there": 1}


def test_a_path_with_a_slash_finds_its_file_again(
    connected_summit: Site, archive: Site, night: list[Path]
) -> None:
    ingested(connected_summit, night[0], "products/2025")
    assert run_export(connected_summit).outcomes == {"exported": 1}
    drain(archive, store.STAGE)
    drain(archive, ingest.STAGE)
    with connected_summit.engine.begin() as connection:
        work = NewWork(
            stage="export",
            path="products/2025",
            filename=night[0].name,
            destination=connected_summit.settings.export_destinations[0],
        )
        add_work(connection, [work])
    assert run_export(connected_summit).outcomes == {"already_there": 1}


def test_a_file_still_being_ingested_there_is_asked_about_later(
    connected_summit: Site, archive: Site, night: list[Path]
) -> None:
    ingested(connected_summit, night[0])
    run_export(connected_summit)
    drain(archive, store.STAGE)
    drain(archive, ingest.STAGE)
    with archive.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=f"{night[0].name}.bz2", force=True)])
    requeue(connected_summit, night[0].name)
    report = run_export(connected_summit)
    assert (report.done, report.deferred) == (0, 1)
    assert items(connected_summit)[0].reason == "pending_at_destination"


class Partner:
    """A destination that answers as it is told."""

    def __init__(self) -> None:
        self.listing: Callable[[], Response] = lambda: JSONResponse([])
        self.answer: Callable[[str, int], Response] = lambda name, size: JSONResponse([])
        self.asked = 0
        self.app = FastAPI()

        @self.app.get("/jsonfilelist/{rest:path}")
        def listing(rest: str) -> Response:
            self.asked += 1
            return self.listing()

        @self.app.post("/upload_file/{rest:path}")
        async def upload(rest: str, request: Request) -> Response:
            body = await request.body()
            return self.answer(rest, len(body))


@pytest.fixture
def partner() -> Partner:
    return Partner()


@pytest.fixture
def summit_of_partner(summit: Site, partner: Partner) -> Iterator[Site]:
    server, stop = serve(partner.app)
    yield _with_destination(summit, server)
    stop()


def _with_destination(site: Site, server: HttpServer) -> Site:
    changed = site.settings.model_copy(update={"export_destinations": (server.url,)})
    return replace(site, settings=changed)


@pytest.mark.parametrize(
    ("listing", "answer", "reason"),
    [
        (HTMLResponse("<html>maintenance</html>"), None, "bad_answer"),
        (JSONResponse({"error": "x"}), None, "bad_answer"),
        (JSONResponse([{"name": "x"}]), None, "bad_answer"),  # no data_md5
        (JSONResponse([{"data_md5": "a"}, {"data_md5": "b"}]), None, "ambiguous_at_destination"),
        (JSONResponse([], 404), None, "bad_answer"),
        (JSONResponse([], 500), None, "destination_down"),
        (JSONResponse([]), HTMLResponse("<html>thanks</html>"), "bad_answer"),
        (JSONResponse([]), JSONResponse([]), "bad_answer"),
        (
            JSONResponse([]),
            JSONResponse([{"filename": "other.fits", "size": 1, "md5": "0"}]),
            "verification_mismatch",
        ),
        (JSONResponse([]), Response(status_code=503), "destination_down"),
        (JSONResponse([]), Response("no", status_code=403), "refused"),
    ],
)
def test_a_bad_answer_is_never_taken_for_success(
    summit_of_partner: Site,
    partner: Partner,
    night: list[Path],
    listing: Response,
    answer: Response | None,
    reason: str,
) -> None:
    ingested(summit_of_partner, night[0])
    partner.listing = lambda: listing
    if answer is not None:
        partner.answer = lambda name, size: answer
    with summit_of_partner.engine.begin() as connection:
        connection.execute(text("update work_item set attempts = 100"))
    report = drain_once(summit_of_partner)
    assert report.done == 0
    assert [f.reason for f in report.retrying] == [reason]
    [item] = items(summit_of_partner)
    # exports are tried again for ever
    assert (item.state, item.reason) in {("waiting", reason), ("waiting", "destination_down")}
    assert item.later


def drain_once(site: Site) -> DrainReport:

    report = DrainReport("export")
    batches.drain_once(site, export.ExportStage(), report)
    return report


def test_a_destination_that_is_down_is_probed_once_not_once_per_file(
    summit_of_partner: Site, partner: Partner, night: list[Path]
) -> None:
    site = replace(summit_of_partner, work=summit_of_partner.work.model_copy(update={"workers": 1}))
    for source in night[:6]:
        ingested(site, source)
    partner.listing = lambda: Response(status_code=502)
    report = drain_once(site)
    assert partner.asked == 1
    assert len(report.retrying) == 1
    assert report.deferred == 5
    assert all(item.later for item in items(site))
    # the next probe finds it well again, and everything goes
    with site.engine.begin() as connection:
        connection.execute(text("update work_item set not_before = now()"))
        connection.execute(text("update destination set retry_at = now()"))
    partner.listing = lambda: JSONResponse([{"data_md5": _md5_of(site, night[0].name)}])
    drain(site, export.ExportStage())
    with site.engine.connect() as connection:
        assert connection.scalar(text("select failures from destination")) == 0


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_token_is_found_by_one_file_not_by_each(
    summit_of_partner: Site, partner: Partner, night: list[Path], status: int
) -> None:
    site = replace(summit_of_partner, work=summit_of_partner.work.model_copy(update={"workers": 1}))
    for source in night[:6]:
        ingested(site, source)
    partner.answer = lambda name, size: Response("no", status_code=status)
    report = drain_once(site)
    assert partner.asked == 1
    assert [failure.reason for failure in report.retrying] == ["refused"]
    assert report.deferred == 5
    with site.engine.connect() as connection:
        assert "is the token, or cookie, right?" in connection.scalar(text("select error from destination"))


def _md5_of(site: Site, name: str) -> str:
    with site.engine.connect() as connection:
        md5: str = connection.execute(
            text("select data_md5 from diskfile where filename = :n"), {"n": name}
        ).scalar_one()
    return md5


def test_an_unreachable_destination_delays_and_says_why(summit: Site, night: list[Path]) -> None:
    changed = summit.settings.model_copy(update={"export_destinations": ("http://127.0.0.1:9",)})
    site = replace(summit, settings=changed)
    ingested(site, night[0])
    report = drain_once(site)
    assert [f.reason for f in report.retrying] == ["network"]
    assert "127.0.0.1" in report.retrying[0].error


def test_a_file_without_a_present_version_is_a_clear_failure(summit_of_partner: Site) -> None:
    requeue(summit_of_partner, "N20251123S0001.fits")
    report = run_export(summit_of_partner)
    assert [f.reason for f in report.failures] == ["no_present_version"]
