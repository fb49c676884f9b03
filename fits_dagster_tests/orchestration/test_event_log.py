"""Dagster's event log: what a run of many nights intends and made is written together, and reads as ever."""

# annotations are not postponed here: Dagster reads those of the context at once

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import URL, Engine, create_engine, event, text

from fits_dagster.orchestration.storage import make_tables

NIGHTS = dg.DailyPartitionsDefinition(start_date="20250101", end_date="20250301", fmt="%Y%m%d")
FILES = dg.AssetKey("files")


@dg.asset(partitions_def=NIGHTS, backfill_policy=dg.BackfillPolicy.single_run())
def files(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("fails"):
        raise dg.Failure("no files")


@dg.asset(partitions_def=NIGHTS, deps=[files], backfill_policy=dg.BackfillPolicy.single_run())
def records() -> None:
    pass


@dg.asset_check(asset=files)  # type: ignore[arg-type]
def complete() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


DEFINITIONS = dg.Definitions(assets=[files, records], asset_checks=[complete])


@pytest.fixture
def database(postgres_server: URL) -> Iterator[Engine]:
    """An empty database for Dagster."""
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    engine = create_engine(postgres_server.set(database="event_log_test"))
    with admin.connect() as connection:
        connection.execute(text("create database event_log_test"))
        try:
            yield engine
        finally:
            engine.dispose()
            connection.execute(text("drop database event_log_test with (force)"))
    admin.dispose()


@pytest.fixture
def instance(
    database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance of Dagster with the storage of a running system."""
    url = database.url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    monkeypatch.setenv("FITS_DAGSTER_DAGSTER_URL", url)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    make_tables()
    storage = {"module": "fits_dagster.orchestration.storage", "class": "DataflowStorage", "config": {}}
    made = dg.DagsterInstance.local_temp(str(tmp_path), overrides={"storage": {"custom": storage}})
    with made:
        yield made


def run(instance: dg.DagsterInstance, first: str, last: str, **tags: str) -> dg.ExecuteInProcessResult:
    job = DEFINITIONS.get_repository_def().get_implicit_global_asset_job_def()
    span = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return job.execute_in_process(instance=instance, tags={**span, **tags}, raise_on_error=False)


def states(instance: dg.DagsterInstance, nights: list[str]) -> list[str]:
    found = instance.get_status_by_partition(FILES, nights, NIGHTS)
    return [str(found[night].name) for night in nights if found and found.get(night)]


def rows(database: Engine, run_id: str) -> Counter[tuple[Any, ...]]:
    with database.connect() as connection:
        found = connection.execute(
            text(
                "select dagster_event_type, asset_key, partition, step_key from event_logs "
                "where run_id = :run and dagster_event_type like 'ASSET%'"
            ),
            {"run": run_id},
        )
        return Counter(tuple(row) for row in found)


def test_events_written_together_are_those_written_one_by_one(
    instance: dg.DagsterInstance, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = run(instance, "20250101", "20250103")
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "0")
    alone = run(instance, "20250101", "20250103")
    assert together.success and alone.success
    written = rows(database, together.run_id)
    assert written == rows(database, alone.run_id)
    assert written["ASSET_MATERIALIZATION_PLANNED", FILES.to_string(), "20250102", "files"] == 1
    assert written["ASSET_MATERIALIZATION", FILES.to_string(), "20250102", "files"] == 1


def test_nights_of_a_run_are_told_as_made_or_failed(instance: dg.DagsterInstance) -> None:
    nights = ["20250101", "20250102", "20250103"]
    assert states(instance, nights) == []
    assert run(instance, nights[0], nights[-1]).success
    assert states(instance, nights) == ["MATERIALIZED"] * 3
    assert not run(instance, nights[1], nights[-1], fails="yes").success
    assert states(instance, nights) == ["MATERIALIZED", "FAILED", "FAILED"]
    assert instance.get_asset_records([FILES])[0].asset_entry.last_run_id is not None


def test_a_check_is_planned_and_answered_once_however_many_nights_its_run_has(
    instance: dg.DagsterInstance, database: Engine
) -> None:
    assert run(instance, "20250101", "20250110").success
    with database.connect() as connection:
        found = connection.execute(
            text("select check_name, partition, execution_status from asset_check_executions")
        )
        assert [tuple(row) for row in found] == [("complete", None, "SUCCEEDED")]


def test_a_run_of_many_nights_takes_as_many_statements_as_one_of_few(instance: dg.DagsterInstance) -> None:
    written: list[str] = []

    @event.listens_for(Engine, "before_cursor_execute")
    def note(*arguments: Any) -> None:
        if arguments[2].startswith("INSERT INTO"):
            written.append(arguments[2])

    try:
        # the first run writes snapshots of its job as well
        run(instance, "20250101", "20250102")
        written.clear()
        run(instance, "20250101", "20250102")
        few = len(written)
        written.clear()
        run(instance, "20250103", "20250131")
        assert len(written) == few
    finally:
        event.remove(Engine, "before_cursor_execute", note)
