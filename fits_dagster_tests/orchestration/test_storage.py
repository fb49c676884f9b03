"""Dagster's storage asks the catalogue of its database once, not with every event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
from sqlalchemy import URL, create_engine, text

from fits_dagster.orchestration.storage import make_tables

_INSTANCE = """
storage:
  custom:
    module: fits_dagster.orchestration.storage
    class: DataflowStorage
    config: {}
"""


@pytest.fixture
def home(postgres_server: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of an instance with a database of its own."""
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("drop database if exists dagster_of_a_test with (force)"))
        connection.execute(text("create database dagster_of_a_test"))
    engine.dispose()
    url = postgres_server.set(database="dagster_of_a_test", drivername="postgresql+psycopg2")
    monkeypatch.setenv("FITS_DAGSTER_DAGSTER_URL", url.render_as_string(hide_password=False))
    (tmp_path / "dagster.yaml").write_text(_INSTANCE)
    make_tables()
    return tmp_path


@contextmanager
def questions_to_the_catalogue() -> Iterator[list[str]]:
    found: list[str] = []

    def note(_connection, _cursor, statement: str, *_: object) -> None:
        if "pg_catalog" in statement:
            found.append(statement)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)


def use(home: Path, night: str) -> None:
    """Do what a run and the daemon do, with an instance of their own."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("exports", partition=night))
        instance.get_run_records(dg.RunsFilter(tags={"site": "summit"}), limit=3)
        instance.all_instigator_state()
        key = dg.AssetKey("exports")
        assert [r.asset_entry.asset_key for r in instance.get_asset_records([key])] == [key]


def test_the_second_instance_of_a_process_asks_nothing(home: Path) -> None:
    with questions_to_the_catalogue() as first:
        use(home, "20251122")
    assert first
    with questions_to_the_catalogue() as later:
        use(home, "20251123")
    assert later == []


def test_a_table_that_is_not_there_yet_is_asked_for_again(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        storage = instance._run_storage
        for _ in range(2):
            with questions_to_the_catalogue() as asked:
                assert not instance.event_log_storage.has_asset_key_col("of_a_later_version")
            assert asked
        assert storage.has_run_stats_index_cols()
