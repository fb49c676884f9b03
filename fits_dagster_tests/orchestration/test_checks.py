"""The checks as Dagster shows them: reported by a sensor when an answer changes, executable by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from sqlalchemy import text

from fits_dagster.checks.standing import checks_of
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.orchestration.definitions import build_definitions
from fits_dagster.settings import load_settings, write_effective
from fits_dagster.sites import Site
from fits_dagster.stages import ingest

OBSERVATIONS = dg.AssetKey(["summit", "observations"])


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, summit: Site) -> dg.Definitions:
    settings = load_settings(tmp_path / "home", work=summit.work.model_dump())
    path = tmp_path / "effective.json"
    changed = summit.settings.model_copy(update={"export_destinations": ()})
    write_effective(settings.with_sites(summit=changed), path)
    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(path))
    return build_definitions("summit")


def tick(
    definitions: dg.Definitions, instance: dg.DagsterInstance, cursor: str | None
) -> tuple[Sequence[dg.AssetCheckEvaluation], str | None]:
    context = dg.build_sensor_context(
        instance=instance, definitions=definitions, resources=definitions.resources, cursor=cursor
    )
    data = definitions.get_repository_def().get_sensor_def("summit_checks").evaluate_tick(context)
    return [event for event in data.asset_events if isinstance(event, dg.AssetCheckEvaluation)], data.cursor


def test_answers_are_told_when_they_change_and_turn_good_by_themselves(
    definitions: dg.Definitions, summit: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fits_dagster.orchestration.checks as checks

    # every look comes late enough for all checks
    hours = iter(range(1_000_000, 100_000_000, 400))
    monkeypatch.setattr(checks, "time", SimpleNamespace(time=lambda: next(hours)))
    assert summit.settings.store_directory is not None
    with dg.DagsterInstance.ephemeral() as instance:
        nothing, cursor = tick(definitions, instance, None)
        assert nothing == []
        first, cursor = tick(definitions, instance, cursor)
        assert len(first) == len(checks_of(load_settings().site("summit")))
        assert all(event.passed for event in first)
        name = "N20251123S0001.fits"
        (summit.settings.store_directory / name).write_bytes(b"no FITS file")
        with summit.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", filename=name)])
        drain(summit, ingest.STAGE)
        changed, cursor = tick(definitions, instance, cursor)
        failed = [event for event in changed if not event.passed]
        assert {event.check_name for event in failed} == {"no_failed_items", "night_complete"}
        assert (OBSERVATIONS, "no_failed_items") in [(e.asset_key, e.check_name) for e in failed]
        assert all(event.severity is dg.AssetCheckSeverity.ERROR for event in failed)
        with summit.engine.begin() as connection:
            connection.execute(text("delete from work_item"))
        back, _ = tick(definitions, instance, cursor)
        assert (OBSERVATIONS, "no_failed_items", True) in [
            (event.asset_key, event.check_name, event.passed) for event in back
        ]


def test_a_check_can_be_executed_by_hand(definitions: dg.Definitions) -> None:
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(OBSERVATIONS, "no_failed_items"))
    job = dg.define_asset_job("one_check", selection=selection)
    resolved = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job])).resolve_job_def("one_check")
    with dg.DagsterInstance.ephemeral() as instance:
        result = resolved.execute_in_process(instance=instance)
        [evaluation] = result.get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == ("no_failed_items", True)
