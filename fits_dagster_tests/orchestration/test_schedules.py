"""The scheduled jobs: rescans and upkeep, as Dagster runs them."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from fits_dagster.orchestration.definitions import build_definitions
from fits_dagster.settings import Settings, write_effective
from fits_dagster.sites import Site


@pytest.fixture(autouse=True)
def _use_settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "effective.json"
    write_effective(settings, path)
    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(path))


def run_schedule(name: str) -> dict[str, object]:
    """Execute the run that a schedule of the summit asks for; returns its figures."""
    repository = build_definitions("summit").get_repository_def()
    schedule = repository.get_schedule_def(name)
    job = repository.get_job(schedule.job_name)
    with dg.DagsterInstance.ephemeral() as instance:
        tick = schedule.evaluate_tick(dg.build_schedule_context(instance=instance))
        [request] = tick.run_requests or []
        result = job.execute_in_process(instance=instance, run_config=request.run_config, tags=request.tags)
        assert result.success
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags["fits_dagster/site"] == "summit"
        [event] = result.filter_events(lambda event: event.is_successful_output)
        return {key: value.value for key, value in event.step_output_data.metadata.items()}


def test_a_rescan_queues_a_file_that_somebody_put_into_its_directory(summit: Site, night: list[Path]) -> None:
    store, name = summit.settings.store_directory, "N20251123S0077.fits"
    assert store is not None
    (store / "masks").mkdir()
    for place in (store, store / "masks"):
        shutil.copy(night[0], place / name)
    figures = run_schedule("rescan_masks")
    assert (figures["seen"], figures["queued"]) == (1, 1)
    with summit.engine.connect() as connection:
        queued = connection.execute(text("select stage, path, filename from work_item")).all()
    assert [tuple(row) for row in queued] == [("ingest", "masks", name)]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("housekeeping", {"runs", "events without a run"}),
        ("vacuum", set()),
        ("roll_call", {"called", "missing"}),
        ("night_report", set()),
        ("leftovers", {"temporary", "orphans", "unfinished"}),
        ("scrub", {"called", "bad", "restored", "complete"}),
    ],
)
def test_upkeep_is_done_and_shows_its_figures(summit: Site, name: str, told: set[str]) -> None:
    assert told <= set(run_schedule(name))
