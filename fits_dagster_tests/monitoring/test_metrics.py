"""/metrics over HTTP, on a real database: what is told, to whom; code, documents and dashboard agree."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from kombu import Connection, Queue
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import create_engine, insert, text, update

import fits_dagster.monitoring
from fits_dagster.broker import broker_url, count_workers, embedded_broker, wait_for_broker
from fits_dagster.ledger import tables as queues
from fits_dagster.ledger.items import NewWork, add_work, claim, fail, new_lease
from fits_dagster.ledger.management import pause_stage
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.monitoring.catalogue import LATENCY_BUCKETS, METRICS
from fits_dagster.monitoring.collector import SiteMetrics
from fits_dagster.monitoring.progress import PIECE_S, Progress
from fits_dagster.settings import load_settings
from fits_dagster.sites import Site
from fits_dagster.system.ports import free_port
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.sites import serve

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
DASHBOARD = Path(fits_dagster.monitoring.__file__).parent / "dashboard.json"


class Samples(dict[tuple[str, frozenset[tuple[str, str]]], float]):
    """What a scrape tells, by name and labels."""

    def of(self, name: str, **labels: str) -> float:
        return self[name, frozenset(labels.items())]

    def names(self) -> set[str]:
        return {name for name, _ in self}


def read(answer: str) -> Samples:
    return Samples(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer)
            for sample in family.samples
        }
    )


@pytest.fixture
def scraped(summit: Site) -> Iterator[Callable[[], Samples]]:
    """Ask the summit's metrics over HTTP."""
    figures = SiteMetrics(summit, fresh_seconds=0)
    figures.begin()
    server, stop = serve(create_app(summit, session_hours=1, site_metrics=figures))

    def scrape() -> Samples:
        answer = requests.get(f"{server.url}/metrics", timeout=10)
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return read(answer.text)

    yield scrape
    stop()
    figures.close()


def put_event(site: Site, stage: str, outcome: str, filename: str, **more: object) -> None:
    known = {"stage": stage, "outcome": outcome, "filename": filename, "night": "20251123", **more}
    with site.engine.begin() as connection:
        connection.execute(insert(queues.event), known)


def test_queues_are_counted_by_stage_and_state(summit: Site, scraped: Callable[[], Samples]) -> None:
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=f"N20251123S{n:04d}.fits") for n in range(5)])
        lease = new_lease("test", 60)
        one, _ = claim(connection, "ingest", lease, limit=2)
        fail(connection, lease, one.id, reason="not_fits", message="no FITS", trace="")
        connection.execute(
            update(queues.work_item)
            .where(queues.work_item.c.state == "waiting")
            .values(added_at=datetime.now(UTC) - timedelta(hours=1))
        )
        pause_stage(connection, "export", who="olga")
    found = scraped()
    states = {state: found.of("fits_dagster_queue_files", stage="ingest", state=state)
              for state in ("due", "running", "retrying", "deferred", "failed")}  # fmt: skip
    assert states == {"due": 3, "running": 1, "retrying": 0, "deferred": 0, "failed": 1}
    assert found.of("fits_dagster_queue_oldest_seconds", stage="ingest") == pytest.approx(3600, abs=60)
    assert found.of("fits_dagster_queue_oldest_seconds", stage="copy") == 0
    assert found.of("fits_dagster_stage_paused", stage="export") == 1
    assert found.of("fits_dagster_stage_paused", stage="ingest") == 0


def test_what_stages_do_is_summed_once(summit: Site, scraped: Callable[[], Samples]) -> None:
    put_event(summit, "ingest", "ingested", "a.fits", size=100, seconds=0.5)
    put_event(summit, "ingest", "unchanged", "b.fits", size=11, seconds=0.25)
    put_event(summit, "ingest", "failed", "c.fits", seconds=9.0)
    put_event(summit, "ingest", "retrying", "d.fits")
    time.sleep(0.3)
    for _ in range(2):
        found = scraped()
        done = {outcome: found.of("fits_dagster_stage_files_total", stage="ingest", outcome=outcome)
                for outcome in ("done", "failed", "retrying")}  # fmt: skip
        assert done == {"done": 2, "failed": 1, "retrying": 1}
        assert found.of("fits_dagster_stage_bytes_total", stage="ingest") == 111
        assert found.of("fits_dagster_stage_seconds_total", stage="ingest") == 0.75


def test_an_event_that_becomes_visible_late_is_counted(summit: Site, scraped: Callable[[], Samples]) -> None:
    with summit.engine.begin() as slow:
        early = {"stage": "copy", "outcome": "copied", "filename": "a.fits", "night": "20251123"}
        slow.execute(insert(queues.event), early)
        put_event(summit, "copy", "copied", "b.fits")
        time.sleep(0.3)
        assert scraped().of("fits_dagster_stage_files_total", stage="copy", outcome="done") == 0
    time.sleep(0.3)
    assert scraped().of("fits_dagster_stage_files_total", stage="copy", outcome="done") == 2


def test_latency_begins_with_the_last_change_of_the_dhs_file(
    summit: Site, scraped: Callable[[], Samples]
) -> None:
    changed = {"fresh.fits": 3.0, "slow.fits": 100.0, "old.fits": 30 * 86400.0}
    with summit.engine.begin() as connection:
        for name, age in changed.items():
            row = {"name": name, "size": 1, "mtime_ns": int((time.time() - age) * 1e9), "md5": "x"}
            connection.execute(insert(queues.dhs_file), row)
    for name in (*changed, "unknown.fits"):
        put_event(summit, "export", "exported", name)
    time.sleep(0.3)
    found = scraped()
    assert found.of("fits_dagster_latency_seconds_count", stage="export") == 2
    assert found.of("fits_dagster_latency_seconds_sum", stage="export") == pytest.approx(103, abs=2)
    assert found.of("fits_dagster_latency_seconds_bucket", stage="export", le="2.0") == 0
    assert found.of("fits_dagster_latency_seconds_bucket", stage="export", le="5.0") == 1
    assert found.of("fits_dagster_latency_seconds_bucket", stage="export", le="+Inf") == 2


def test_latency_at_the_archive_begins_with_the_upload(archive: Site) -> None:
    progress = Progress(archive.engine, ["store"])
    progress.begin()
    with archive.engine.begin() as connection:
        row = {"filename": "a.fits.bz2", "path": "", "staged_name": "s", "size": 1, "md5": "x"}
        started = datetime.now(UTC) - timedelta(seconds=7)
        connection.execute(insert(queues.upload), {**row, "started_at": started})
    put_event(archive, "store", "stored", "a.fits.bz2")
    time.sleep(0.3)
    progress.update()
    assert sum(progress.latencies["store"].counts) == 1
    assert progress.latencies["store"].total == pytest.approx(7, abs=2)


def test_a_long_gap_is_read_in_pieces(summit: Site) -> None:
    progress = Progress(summit.engine, ["copy"])
    progress.begin()
    assert progress._read_until is not None
    progress._read_until -= timedelta(hours=5)
    for hours in (4, 3, 2, 1):
        at = datetime.now(UTC) - timedelta(hours=hours)
        put_event(summit, "copy", "copied", f"{hours}.fits", at=at)
    progress.update()
    assert progress.files["copy", "done"] == 4


def test_disks_and_destinations(summit: Site, scraped: Callable[[], Samples]) -> None:
    [destination] = summit.settings.export_destinations
    assert scraped().of("fits_dagster_destination_up", destination=destination) == 1
    with summit.engine.begin() as connection:
        connection.execute(insert(queues.destination), {"url": destination, "failures": 2})
    dhs = summit.settings.dhs_directory
    assert dhs is not None
    dhs.rmdir()
    found = scraped()
    assert found.of("fits_dagster_destination_up", destination=destination) == 0
    assert found.of("fits_dagster_disk_up", place="dhs", directory=str(dhs)) == 0
    store = {"place": "store", "directory": str(summit.settings.store_directory)}
    assert found.of("fits_dagster_disk_up", **store) == 1
    free = found.of("fits_dagster_disk_free_bytes", **store)
    assert 0 < free <= found.of("fits_dagster_disk_size_bytes", **store)


def test_a_database_that_does_not_answer_leaves_the_rest(summit: Site) -> None:
    gone = create_engine(summit.engine.url.set(database="nowhere"))
    figures = SiteMetrics(replace(summit, engine=gone))
    figures.begin()
    found = read(figures.scrape().decode())
    figures.close()
    up = {part: found.of("fits_dagster_part_up", part=part) for part in ("queues", "events", "disks")}
    assert up == {"queues": 0, "events": 0, "disks": 1}
    assert "fits_dagster_queue_files" not in found.names()
    assert "fits_dagster_disk_free_bytes" in found.names()


def test_dagsters_runs_are_told(summit: Site) -> None:
    with summit.engine.begin() as connection:
        connection.execute(text("create table runs (status text, update_timestamp timestamp)"))
        for status in ("STARTED", "QUEUED", "SUCCESS", "FAILURE"):
            row = {"status": status, "at": datetime.now(UTC).replace(tzinfo=None)}
            connection.execute(text("insert into runs values (:status, :at)"), row)
    figures = SiteMetrics(summit, dagster_url=summit.engine.url)
    try:
        found = read(figures.scrape().decode())
    finally:
        figures.close()
        with summit.engine.begin() as connection:
            connection.execute(text("drop table runs"))
    assert found.of("fits_dagster_runs", state="started") == 1
    assert found.of("fits_dagster_runs", state="starting") == 0
    assert found.of("fits_dagster_runs_last_hour", state="success") == 1
    assert found.of("fits_dagster_runs_last_hour", state="failure") == 1
    assert found.of("fits_dagster_runs_at_work") == 0


def test_scrapes_in_a_row_look_once(summit: Site) -> None:
    figures = SiteMetrics(summit)
    first = figures.scrape()
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename="N20251123S0001.fits")])
    assert figures.scrape() == first
    figures.close()


def test_with_a_token_only_its_holders_are_told(summit: Site) -> None:
    told = summit.settings.model_copy(update={"metrics_token": SecretStr("a secret")})
    server, stop = serve(create_app(replace(summit, settings=told), session_hours=1))

    def status(**headers: str) -> int:
        return requests.get(f"{server.url}/metrics", headers=headers, timeout=10).status_code

    try:
        assert status() == 403
        assert status(Authorization="Bearer a secret") == 200
        assert status(Authorization="Bearer wrong") == 403
        assert status(Authorization="Basic a secret") == 403
    finally:
        stop()


def test_without_a_token_only_this_machine_is_told(summit: Site) -> None:
    server, stop = serve(create_app(summit, session_hours=1))
    try:
        assert requests.get(f"{server.url}/metrics", timeout=10).status_code == 200
        # a proxy on this machine hands on what comes from elsewhere
        headers = {"X-Forwarded-For": "203.0.113.7", "Authorization": "Bearer "}
        assert requests.get(f"{server.url}/metrics", headers=headers, timeout=10).status_code == 403
    finally:
        stop()


def test_workers_at_the_broker_are_counted(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "home")
    with subprocess.Popen(embedded_broker(settings, free_port()), stdout=subprocess.DEVNULL) as broker:
        try:
            wait_for_broker(settings)
            assert count_workers(settings) == 0
            over = threading.Event()

            def listen() -> None:
                with Connection(broker_url(settings)) as link, link.Consumer(Queue("q"), callbacks=[print]):
                    while not over.is_set():
                        try:
                            link.drain_events(timeout=0.2)
                        except TimeoutError:
                            continue

            worker = threading.Thread(target=listen)
            worker.start()
            deadline = time.monotonic() + 10
            while count_workers(settings) != 1:
                assert time.monotonic() < deadline
            over.set()
            worker.join()
        finally:
            broker.terminate()
    with pytest.raises(OSError, match="does not answer"):
        count_workers(settings)


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    rows = re.findall(r"^\| `(fits_dagster_\w+)` \| (\w+) \|([^|]*)\|", DOCUMENT.read_text(), re.MULTILINE)
    told = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert told == {name: (metric.kind, metric.labels) for name, metric in METRICS.items()}


def test_a_scrape_tells_no_other_names(scraped: Callable[[], Samples]) -> None:
    found = {re.sub(r"_(bucket|count|sum)$", "", name) for name in scraped().names()}
    assert {name for name in found if not name.endswith("_created")} <= set(METRICS)


def test_names_follow_the_conventions() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch(r"fits_dagster(_[a-z]+)+", name)
        assert name.endswith("_total") == (metric.kind == "counter")
    assert sorted(LATENCY_BUCKETS) == list(LATENCY_BUCKETS)


def test_the_dashboard_names_only_metrics_that_exist_and_all_of_them() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    said = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {re.sub(r"_(bucket|count|sum)$", "", n) for e in said for n in re.findall(r"fits_dagster_\w+", e)}
    assert names == set(METRICS)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_events_are_read_by_the_index_of_their_times(summit: Site) -> None:
    with summit.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(
            text("""
            insert into event (stage, outcome, filename, night, at)
            select 'copy', 'copied', g || '.fits', '20251123', now() - g * interval '1 minute'
            from generate_series(1, 20000) g
            """)
        )
        connection.execute(text("analyze event"))
        now = datetime.now(UTC)
        asked = {"begin": now - timedelta(seconds=PIECE_S), "end": now, "stages": ["copy"]}
        plan = "\n".join(connection.scalars(text(f"explain {LEDGER['stage_figures'].text}"), asked))
    assert "ix_event_at" in plan
    assert "Seq Scan on event" not in plan
