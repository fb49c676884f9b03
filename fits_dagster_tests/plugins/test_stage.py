"""A stage from another package: in Dagster, on the queue page, in commands and histories, and at work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import requests
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from fits_dagster.checks.standing import checks_of
from fits_dagster.deploy.programs import worker_services
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.monitoring.collector import SiteMetrics
from fits_dagster.orchestration.definitions import build_definitions
from fits_dagster.records.history import find_file
from fits_dagster.requeue.versions import VersionRequest, queue_versions
from fits_dagster.schema.tables import metadata
from fits_dagster.settings import Settings, load_settings, write_effective
from fits_dagster.sites import Site
from fits_dagster.stages.registry import all_stages, find_stage
from fits_dagster.stages.whereabouts import answer_sentence
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.plugins.conftest import Install

NAME = "N20250110S0001.fits"
NIGHT = "20250110"


@pytest.fixture
def with_stage(install: Install, migrated: Callable[[], Site]) -> Site:
    """The archive, with the stage installed."""
    install("fingerprint")
    return migrated()


@pytest.fixture
def ingested(with_stage: Site, night: list[Path]) -> str:
    """A file in the archive that has been ingested; returns its SHA-256."""
    assert with_stage.settings.store_directory is not None
    stored = with_stage.settings.store_directory / NAME
    shutil.copy(night[0], stored)
    with with_stage.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=NAME)])
    assert drain(with_stage, all_stages()["ingest"]).outcomes == {"ingested": 1}
    return hashlib.sha256(stored.read_bytes()).hexdigest()


def waiting(site: Site) -> list[tuple[str, int]]:
    with site.engine.connect() as connection:
        rows = connection.execute(
            text("select stage, priority from work_item where state = 'waiting' order by stage")
        )
        return [(stage, priority) for stage, priority in rows]


def sums(site: Site) -> list[str]:
    with site.engine.connect() as connection:
        return list(connection.scalars(text("select sha256 from fingerprint.fingerprint")))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "fits_dagster", *arguments],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Path:
    """A home whose settings are those of this test, for other processes."""
    monkeypatch.setenv("FITS_DAGSTER_HOME", str(settings.home))
    for site in ("summit", "archive"):
        url = settings.site(site).database_url
        monkeypatch.setenv(f"FITS_DAGSTER_{site.upper()}__DATABASE_URL", url)
    return settings.home


def test_it_is_a_stage_of_the_sites_that_it_names() -> None:
    assert "fingerprint" not in all_stages(), "it is not installed here"


def test_files_that_were_ingested_come_to_it_and_their_history_says_so(
    with_stage: Site, ingested: str
) -> None:
    assert ("fingerprint", 0) in waiting(with_stage)
    with with_stage.engine.begin() as connection:
        connection.execute(text("delete from work_item where stage != 'fingerprint'"))
        there = answer_sentence(find_file(connection, NAME))
    assert there.startswith(f"{NAME} has waited for its fingerprint since ")
    assert drain(with_stage, all_stages()["fingerprint"]).outcomes == {"fingerprinted": 1}
    assert sums(with_stage) == [ingested]
    with with_stage.engine.connect() as connection:
        history = find_file(connection, NAME).history
    assert history is not None
    assert [(event.stage, event.outcome) for event in history.events] == [
        ("fingerprint", "fingerprinted"),
        ("ingest", "ingested"),
    ]


def test_the_queue_page_has_its_tab(
    with_stage: Site, ingested: str, archive_http: HttpServer, staff: requests.Session
) -> None:
    states = staff.post(f"{archive_http.url}/queuestatus/json", timeout=10).json()
    assert [state["queue"] for state in states] == ["iq", "eq", "pq", "cq", "sq", "sh"]
    assert [row["filename"] for row in states[-1]["waiting"]] == [NAME]
    assert "Fingerprints" in staff.get(f"{archive_http.url}/queuestatus", timeout=10).text
    found = staff.get(f"{archive_http.url}/queuestatus/file.json", params={"name": NAME}, timeout=10).json()
    assert "fingerprint" in [item["stage"] for item in found["items"]]


@pytest.mark.usefixtures("home")
def test_commands_know_it(with_stage: Site, ingested: str) -> None:
    listed = json.loads(run("queue", "list", "--site", "archive", "--stage", "fingerprint", "--json").stdout)
    assert [(item["stage"], item["filename"], item["state"]) for item in listed] == [
        ("fingerprint", NAME, "waiting")
    ]
    assert "fingerprint: 1 fingerprinted" in run("queue", "drain", "fingerprint", "--site", "archive").stdout
    assert sums(with_stage) == [ingested]
    assert "0 queued" in run("queue", "add", "fingerprint", "--all", "--missing").stdout
    assert "1 queued" in run("queue", "add", "fingerprint", "--filename", NAME).stdout
    assert "queue fingerprint: waiting" in run("where", NAME, "--site", "archive").stdout


def test_it_is_deployed_watched_and_counted(with_stage: Site, ingested: str) -> None:
    services = {name: queue for name, queue, _ in worker_services(with_stage.settings)}
    assert services["service_fingerprint_queue"] == "fingerprint"
    checks = {check.name for check in checks_of(with_stage.settings) if check.stage == "fingerprint"}
    assert checks == {"no_failed_items", "nothing_stuck"}
    collector = SiteMetrics(with_stage)
    try:
        assert 'stage="fingerprint"' in collector.scrape().decode()
    finally:
        collector.close()


def test_its_asset_is_made_again_by_a_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings, with_stage: Site, ingested: str
) -> None:
    path = tmp_path / "effective.json"
    write_effective(settings, path)
    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(path))
    with with_stage.engine.begin() as connection:
        connection.execute(text("delete from work_item"))
    repository = build_definitions("archive").get_repository_def()
    key = dg.AssetKey(["archive", "fingerprints"])
    parents = repository.asset_graph.get(key).parent_keys
    assert {parent.to_user_string() for parent in parents} == {"archive/observations"}
    with dg.DagsterInstance.ephemeral() as instance:
        job = repository.get_job("archive_fingerprint")
        result = job.execute_in_process(instance=instance, partition_key=NIGHT)
        assert result.success
        assert instance.get_materialized_partitions(key) == {NIGHT}
    assert sums(with_stage) == [ingested]


@pytest.mark.filterwarnings("ignore:Did not recognize type 'jsonpath'")
def test_migrations_leave_its_table_alone(with_stage: Site) -> None:
    with with_stage.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_only_what_is_missing_is_queued_by_hand(with_stage: Site, ingested: str) -> None:
    assert queue_versions(with_stage, "fingerprint", VersionRequest(only_missing=True)) == [NAME]
    drain(with_stage, all_stages()["fingerprint"])
    assert queue_versions(with_stage, "fingerprint", VersionRequest(only_missing=True)) == []
    assert find_stage(load_settings().summit, "fingerprint") is None
