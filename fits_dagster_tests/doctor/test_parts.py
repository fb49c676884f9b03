"""Each part of the system is broken for real, and the doctor says so."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

from fits_dagster.doctor import configuration, parts
from fits_dagster.doctor.examination import examine
from fits_dagster.doctor.finding import Check
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.system.home import code_socket
from fits_dagster.system.ports import free_port
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.doctor.said import changed, verdicts


def test_databases_that_are_well(settings: Settings) -> None:
    assert verdicts(parts.databases(settings)) == {"summit database": "ok", "archive database": "ok"}


def test_a_database_that_is_away_leaves_the_other(settings: Settings) -> None:
    away = changed(settings, database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/fits")
    found = list(parts.databases(away))
    assert verdicts(iter(found)) == {"summit database": "ok", "archive database": "wrong"}
    assert "does not answer" in found[-1].message


def test_no_database_yet(tmp_path: Path) -> None:
    settings, _ = configuration.read_settings(tmp_path)
    assert settings is not None
    assert set(verdicts(parts.databases(settings)).values()) == {"wrong"}
    assert list(tmp_path.iterdir()) == [], "nothing is started or made"


def test_another_schema_is_wrong(settings: Settings, summit: Site) -> None:
    read = text("select version_num from alembic_version")
    write = text("update alembic_version set version_num = :version")
    with summit.engine.begin() as connection:
        right = connection.scalar(read)
        connection.execute(write, {"version": "0001"})
    try:
        found = list(parts.databases(settings))
    finally:
        with summit.engine.begin() as connection:
            connection.execute(write, {"version": right})
    assert verdicts(iter(found)) == {"summit database": "wrong", "archive database": "ok"}
    assert any("fits-dagster migrate" in each.remedy for each in found)


def test_the_broker_and_its_workers(brokered: tuple[Settings, Callable[[], None]]) -> None:
    settings, kill = brokered
    assert verdicts(parts.broker(settings)) == {"broker": "ok"}
    [nobody] = parts.workers(settings)
    assert (nobody.verdict, "no worker" in nobody.message) == ("wrong", True)
    kill()
    assert verdicts(parts.broker(settings)) == {"broker": "wrong"}
    [silent] = examine([Check("workers", lambda: parts.workers(settings))])
    assert silent.verdict == "wrong"


def test_no_broker_yet(settings: Settings) -> None:
    assert verdicts(parts.broker(settings)) == {"broker": "wrong"}


def test_web_applications(settings: Settings, archive: Site, archive_http: HttpServer) -> None:
    port = int(archive_http.url.rsplit(":", 1)[1])
    here = changed(settings, port=port)
    assert verdicts(parts.web_applications(here)) == {
        "summit web application": "wrong",
        "archive web application": "ok",
    }


def test_a_web_application_of_an_older_version_is_to_be_restarted(
    settings: Settings, other_server: Callable[..., str]
) -> None:
    url = other_server(version="0.0.1")
    old = changed(settings, port=int(url.rsplit(":", 1)[1]))
    assert verdicts(parts.web_applications(old))["archive web application"] == "warning"


def test_code_servers(settings: Settings) -> None:
    path = code_socket(settings, "summit")
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert verdicts(parts.code_servers(settings)) == {
            "summit code server": "ok",
            "archive code server": "wrong",
        }


@pytest.fixture
def dagster_database(settings: Settings, postgres_server: URL) -> Iterator[tuple[Settings, URL]]:
    """A database that holds what the doctor asks Dagster's database for."""
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("drop database if exists dagster"))
        connection.execute(text("create database dagster"))
    url = postgres_server.set(database="dagster")
    engine = create_engine(url)
    with engine.begin() as connection:
        for table, columns in (
            ("daemon_heartbeats", "daemon_type text, timestamp timestamp"),
            ("instigators", "selector_id text, status text, instigator_type text, instigator_body text"),
            ("job_ticks", "selector_id text, timestamp timestamp"),
            ("runs", "pipeline_name text, status text, run_id text, update_timestamp timestamp"),
        ):
            connection.execute(text(f"create table {table} ({columns})"))
    engine.dispose()
    server = postgres_server.render_as_string(hide_password=False)
    yield settings.model_copy(update={"database_url": server}), url
    with admin.connect() as connection:
        connection.execute(text("drop database dagster with (force)"))
    admin.dispose()


def test_the_daemon_and_the_sensors(dagster_database: tuple[Settings, URL]) -> None:
    settings, url = dagster_database
    assert verdicts(parts.daemon(settings)) == {"daemon": "wrong"}
    engine = create_engine(url)
    now = datetime.now(UTC).replace(tzinfo=None)
    with engine.begin() as connection:
        for kind in ("SENSOR", "QUEUED_RUN_COORDINATOR"):
            connection.execute(
                text("insert into daemon_heartbeats values (:k, :now)"), {"k": kind, "now": now}
            )
    assert verdicts(parts.daemon(settings)) == {"daemon": "ok"}
    with engine.begin() as connection:
        late = now - timedelta(hours=1)
        connection.execute(text("insert into instigators values ('1', 'RUNNING', 'SENSOR', '{}')"))
        connection.execute(text("insert into job_ticks values ('1', :late)"), {"late": late})
        connection.execute(text("insert into runs values ('summit', 'FAILURE', 'x', :now)"), {"now": now})
    engine.dispose()
    assert verdicts(parts.daemon(settings)) == {"sensor": "wrong", "runs": "warning"}
