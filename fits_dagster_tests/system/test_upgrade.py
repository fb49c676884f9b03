"""A home of the first release is upgraded by ``up``: its work goes on, its settings hold or are explained."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
import requests
from alembic import command as alembic
from sqlalchemy import create_engine, text

from fits_dagster.database.server import start_embedded_server, stop_embedded_server
from fits_dagster.schema.migrate import alembic_config
from fits_dagster.settings import load_settings
from fits_dagster_tests.schema.test_migrations import FIRST_RELEASE
from fits_dagster_tests.system.conftest import command, environment, wait_until

pytestmark = pytest.mark.timeout(300)

NAME = "N20251123S0007.fits"
WAITING = text("""
insert into work_item
    (stage, path, filename, destination, night, sort_key, state, priority, added_at, not_before)
values ('ingest', '', :name, '', '20251123', 'z202511230007', 'waiting', 0, now(), now())
""")


@pytest.fixture
def first_release(tmp_path: Path, night: list[Path]) -> Path:
    """A home with the databases of the first release, and a file that waits there for its ingest."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "settings.toml").write_text("[work]\nlinger_seconds = 3\n[summit]\ndefer_seconds = 0\n")
    settings = load_settings(home)
    server = start_embedded_server(settings).set(drivername="postgresql+psycopg")
    try:
        admin = create_engine(server, isolation_level="AUTOCOMMIT")
        for name in ("fits_summit", "fits_archive"):
            with admin.connect() as connection:
                connection.execute(text(f"create database {name}"))
            engine = create_engine(server.set(database=name))
            config = alembic_config()
            with engine.begin() as connection:
                config.attributes["connection"] = connection
                alembic.upgrade(config, FIRST_RELEASE)
                if name == "fits_summit":
                    connection.execute(WAITING, {"name": NAME})
            engine.dispose()
        admin.dispose()
    finally:
        stop_embedded_server(settings)
    dataflow = settings.summit.store_directory
    assert dataflow is not None
    dataflow.mkdir(parents=True)
    shutil.copy(night[6], dataflow / NAME)
    return home


def start(home: Path) -> subprocess.Popen[bytes]:
    with (home / "up.log").open("w") as log:
        return subprocess.Popen(
            command("up"), env=environment(home), stdout=log, stderr=log, start_new_session=True
        )


def test_what_waited_in_the_first_release_is_done_by_this_one(first_release: Path) -> None:
    process = start(first_release)
    running = first_release / "up.json"
    try:
        wait_until(lambda: running.exists() or process.poll() is not None, seconds=150, what="it runs")
        assert process.poll() is None, (first_release / "up.log").read_text()
        url = json.loads(running.read_text())["urls"]["archive"]

        def archived() -> list[str]:
            return [e["name"] for e in requests.get(f"{url}/jsonfilelist/present", timeout=10).json()]

        wait_until(lambda: archived() == [NAME], seconds=60, what="the file arrives")
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert psutil.wait_procs(family, timeout=5)[1] == []


def test_a_setting_that_has_gone_is_refused_with_what_replaced_it(first_release: Path) -> None:
    (first_release / "settings.toml").write_text("[work]\nstanding_runs = true\n")
    process = start(first_release)
    assert process.wait(60) == 1
    said = (first_release / "up.log").read_text()
    assert "work.standing_runs is no longer a setting: runs no longer stand by" in said
