"""Expected against arrived, and the standing checks: bad while something is wrong, no longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from fits_dagster.checks.reconcile import night_reports
from fits_dagster.checks.standing import CheckResult, checks_of, recent_nights
from fits_dagster.destinations.base import DestinationDownError, name_prefix
from fits_dagster.destinations.holdings import holdings
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.management import pause_stage, resume_stage, retry_failed
from fits_dagster.sites import Site
from fits_dagster.stages import export, ingest, store
from fits_dagster_tests.builders.flow import carry, copy_in, put_on_dhs

NIGHT = "20251123"


def look(site: Site, name: str, stage: str) -> CheckResult:
    [check] = [check for check in checks_of(site.settings) if (check.name, check.stage) == (name, stage)]
    return check.look(site)


def long_ago(site: Site) -> None:
    """Let what has happened have happened long ago."""
    with site.engine.begin() as connection:
        connection.execute(text("update event set at = at - interval '1 hour'"))


def states(site: Site) -> dict[str, int]:
    [report] = night_reports(site, [NIGHT])
    return dict(report.counts)


def test_files_are_followed_from_the_dhs_to_the_archive(
    connected_summit: Site, archive: Site, night: list[Path]
) -> None:
    summit = connected_summit
    put_on_dhs(summit, night[:3])
    assert states(summit) == {"not_copied": 3}
    copy_in(summit)
    assert states(summit) == {"not_ingested": 3}
    drain(summit, ingest.STAGE)
    [report] = night_reports(summit, [NIGHT])
    assert report.counts == {"not_at_destination": 3}
    assert all(file.is_on_its_way and file.queue == "export waiting" for file in report.files)
    drain(summit, export.STAGE)
    assert look(summit, "night_complete", "export").passed, "the archive has just received them"
    long_ago(summit)
    assert not look(summit, "night_complete", "export").passed
    assert states(archive) == {"not_stored": 3}
    drain(archive, store.STAGE)
    drain(archive, ingest.STAGE)
    assert states(summit) == {"complete": 3}
    assert states(archive) == {"complete": 3}


def test_a_content_that_differs_at_the_far_end_is_told(
    connected_summit: Site, archive: Site, night: list[Path]
) -> None:
    summit = connected_summit
    carry(summit, archive, night[:2])
    assert look(summit, "md5_equal", "export").passed
    with archive.engine.begin() as connection:
        connection.execute(
            text("update diskfile set data_md5 = 'other' where id = (select min(id) from diskfile)")
        )
    assert look(summit, "md5_equal", "export").passed, "it may have been sent a moment ago"
    long_ago(summit)
    found = look(summit, "md5_equal", "export")
    assert not found.passed
    assert [row["state"] for row in found.rows] == ["different_there"]


def test_a_destination_that_does_not_answer_is_no_complete_night(summit: Site, night: list[Path]) -> None:
    unreachable = replace(
        summit, settings=summit.settings.model_copy(update={"export_destinations": ("http://127.0.0.1:9",)})
    )
    put_on_dhs(unreachable, night[:1])
    copy_in(unreachable)
    drain(unreachable, ingest.STAGE)
    found = look(unreachable, "night_complete", "export")
    assert not found.passed
    assert "no answer from http://127.0.0.1:9" in found.summary


def test_failed_items_are_told_until_somebody_deals_with_them(summit: Site) -> None:
    assert summit.settings.store_directory is not None
    name = f"N{NIGHT}S0001.fits"
    (summit.settings.store_directory / name).write_bytes(b"no FITS file")
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=name)])
    assert look(summit, "no_failed_items", "ingest").passed
    drain(summit, ingest.STAGE)
    found = look(summit, "no_failed_items", "ingest")
    assert (found.passed, found.summary) == (False, "1 file failed")
    assert found.rows[0]["file"] == name and found.rows[0]["reason"] == "not_fits"
    assert look(summit, "no_failed_items", "export").passed
    with summit.engine.begin() as connection:
        retry_failed(connection)
    assert look(summit, "no_failed_items", "ingest").passed


def test_what_is_due_for_long_is_stuck_and_what_waits_for_its_time_is_not(summit: Site) -> None:
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="export", filename=f"N{NIGHT}S000{n}.fits") for n in range(3)])
        connection.execute(text("update work_item set added_at = now() - interval '2 hours'"))
        connection.execute(
            text("update work_item set not_before = now() - interval '2 hours' where filename ~ '1.fits'")
        )
    found = look(summit, "nothing_stuck", "export")
    assert [row["file"] for row in found.rows] == [f"N{NIGHT}S0001.fits"]
    with summit.engine.begin() as connection:
        connection.execute(text("delete from work_item"))
    assert look(summit, "nothing_stuck", "export").passed


def test_a_paused_stage_does_not_pass_for_healthy(summit: Site) -> None:
    with summit.engine.begin() as connection:
        pause_stage(connection, "export", who="anna")
    found = look(summit, "nothing_stuck", "export")
    assert not found.passed and "paused by anna" in found.summary
    with summit.engine.begin() as connection:
        resume_stage(connection, "export", who="anna")
    assert look(summit, "nothing_stuck", "export").passed


def test_the_nights_that_are_looked_at(summit: Site) -> None:
    now = datetime(2025, 11, 23, 20, tzinfo=UTC)
    assert recent_nights(summit, now) == ["20251123", "20251122", "20251121", "20251120"]
    south = replace(summit, settings=summit.settings.model_copy(update={"night_hours_ahead": 6.0}))
    assert recent_nights(south, now)[0] == "20251124"


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("N20251123S0001.fits", "N20251123"),
        ("gS20251123S0001_flat.fits", "gS20251123"),
        ("SDCH_20251123_0001.fits", "SDCH_20251123"),
        ("mask.fits", "mask.fits"),
    ],
)
def test_files_of_a_night_are_asked_for_together(name: str, prefix: str) -> None:
    assert name_prefix(name) == prefix


@pytest.fixture
def cutting_server() -> Iterator[tuple[str, list[str]]]:
    """A server of 1500 files that never answers with more than 500."""
    names = [f"N{NIGHT}S{n:04d}.fits" for n in range(1500)]
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            import json

            prefix = self.path.rpartition("filepre=")[2]
            asked.append(prefix)
            found = [{"name": n, "path": "", "data_md5": n} for n in names if n.startswith(prefix)]
            body = json.dumps(found[:500]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_a_server_that_cuts_its_answers_is_asked_in_smaller_portions(
    cutting_server: tuple[str, list[str]],
) -> None:
    url, asked = cutting_server
    found = holdings(url, [f"N{NIGHT}S0001.fits"], 5.0)
    assert len(found) == 1500
    assert asked[0] == f"N{NIGHT}"


def test_an_answer_that_is_no_list_is_an_error(
    archive_http: object, cutting_server: tuple[str, list[str]]
) -> None:
    url = archive_http.url  # type: ignore[attr-defined]
    with pytest.raises(DestinationDownError, match="status 404"):
        holdings(f"{url}/nowhere", ["N20251123S0001.fits"], 5.0)
