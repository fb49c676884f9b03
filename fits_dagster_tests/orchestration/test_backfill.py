"""Backfills: nights that a person asks for are ingested again as background work."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from fits_dagster.ledger.items import BACKGROUND, NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.orchestration.definitions import build_definitions
from fits_dagster.requeue.rescan import rescan
from fits_dagster.settings import load_settings, write_effective
from fits_dagster.sites import Site
from fits_dagster.stages import ingest

FIRST, LAST = "20250110", "20250112"


@pytest.fixture
def ingested_nights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, summit: Site, night: list[Path]
) -> list[str]:
    """Three old nights with one ingested file each; Dagster's resources read the settings of this test."""
    settings = load_settings(tmp_path / "home", work=summit.work.model_dump())
    path = tmp_path / "effective.json"
    summit_settings = summit.settings.model_copy(update={"export_destinations": ()})
    write_effective(settings.with_sites(summit=summit_settings), path)
    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(path))
    assert summit.settings.store_directory is not None
    names = [f"N2025011{day}S0001.fits" for day in range(3)]
    for name in names:
        shutil.copy(night[0], summit.settings.store_directory / name)
    rescan(summit)
    assert drain(summit, ingest.STAGE).done == 3
    with summit.engine.begin() as connection:
        connection.execute(text("delete from work_item"))
    return names


def versions(site: Site) -> int:
    with site.engine.connect() as connection:
        return int(connection.scalar(text("select count(*) from diskfile")) or 0)


def materialize(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    job = build_definitions("summit").get_repository_def().get_implicit_global_asset_job_def()
    span = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": LAST}
    return job.execute_in_process(instance=instance, tags={**span, **tags}, raise_on_error=False)


def test_a_backfill_with_force_makes_new_versions_of_all_files_of_its_nights(
    summit: Site, ingested_nights: list[str]
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(instance, {"fits_dagster/force": "true"})
        assert result.success
        assert versions(summit) == 6
        key = dg.AssetKey(["summit", "observations"])
        assert instance.get_materialized_partitions(key) == {FIRST, "20250111", LAST}
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags["fits_dagster/site"] == "summit"


def test_a_backfill_without_options_takes_what_has_changed(summit: Site, ingested_nights: list[str]) -> None:
    assert summit.settings.store_directory is not None
    changed = summit.settings.store_directory / ingested_nights[1]
    content = changed.read_bytes()
    changed.write_bytes(content.replace(b"OBSERVER= '", b"OBSERVER= 'X", 1)[: len(content)])
    with dg.DagsterInstance.ephemeral() as instance:
        materialize(instance, {})
    with summit.engine.connect() as connection:
        outcomes = connection.execute(
            text("select filename, outcome from event where stage = 'ingest' order by id offset 3")
        ).all()
    assert [name for name, _ in outcomes] == [ingested_nights[1]]


def test_nights_in_which_nothing_failed_count_although_another_night_has_a_failure(
    summit: Site, ingested_nights: list[str]
) -> None:
    assert summit.settings.store_directory is not None
    (summit.settings.store_directory / ingested_nights[2]).write_bytes(b"no longer FITS")
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(instance, {"fits_dagster/force": "yes"})
        assert not result.success
        key = dg.AssetKey(["summit", "observations"])
        assert instance.get_materialized_partitions(key) == {FIRST, "20250111"}
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags["fits_dagster/failed_ingest"] == "yes"


@pytest.mark.usefixtures("ingested_nights")
def test_work_of_low_priority_gets_a_run_of_its_own(summit: Site) -> None:
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename="N20250110S0001.fits", priority=BACKGROUND)])
        connection.execute(text("update work_item set added_at = now() - interval '1 minute'"))
    definitions = build_definitions("summit")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, definitions=definitions, resources=definitions.resources
        )
        sensor = definitions.get_repository_def().get_sensor_def("summit_queue")
        [request] = sensor.evaluate_tick(context).run_requests or []
        assert request.job_name == "summit_ingest_any_night"
        assert request.tags["fits_dagster/unit"] == "summit:ingest:background"
        # a run of a backfill that is at the night already does it
        instance.create_run_for_job(
            definitions.get_repository_def().get_implicit_global_asset_job_def(),
            tags={
                "fits_dagster/site": "summit",
                "dagster/asset_partition_range_start": FIRST,
                "dagster/asset_partition_range_end": LAST,
            },
            asset_selection=frozenset([dg.AssetKey(["summit", "observations"])]),
        )
        assert not sensor.evaluate_tick(context).run_requests
