"""The Dagster side: what is defined, that it loads without a database, what sensors ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Connection, text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.pending import has_work_in_hand
from fits_dagster.orchestration import sensors
from fits_dagster.orchestration.definitions import build_definitions
from fits_dagster.orchestration.partitions import is_partition
from fits_dagster.orchestration.wanted import RunsInProgress, runs_in_progress
from fits_dagster.settings import SiteName, load_settings, write_effective
from fits_dagster.sites import Site

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("site", "lineage", "ops"),
    [
        (
            "summit",
            {
                "summit/dataflow_files": set(),
                "summit/header_updates": {"summit/dataflow_files"},
                "summit/observations": {"summit/header_updates"},
                "summit/exports": {"summit/observations"},
            },
            ["copy", "edit", "ingest", "export"],
        ),
        (
            "archive",
            {
                "archive/stored_files": {"summit/exports"},
                "archive/observations": {"archive/stored_files"},
                "archive/previews": {"archive/observations"},
                "archive/calibration_associations": {"archive/observations"},
            },
            ["store", "ingest", "preview", "associate"],
        ),
    ],
)
def test_assets_and_ops_are_those_of_the_dataflow(
    site: SiteName, lineage: dict[str, set[str]], ops: list[str]
) -> None:
    repository = build_definitions(site).get_repository_def()
    graph = repository.asset_graph
    found = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.materializable_asset_keys
    }
    assert found == lineage
    assert all(graph.get(key).is_partitioned for key in graph.materializable_asset_keys)
    for op in ops:
        for name in (f"{site}_{op}", f"{site}_{op}_any_night"):
            job = repository.get_job(name)
            assert [node.name for node in job.graph.nodes_in_topological_order] == [op], "a run is one stage"
            assert job.tags["dagster-celery/queue"] == f"fits.{site}.{op}"
            assert type(job.executor_def) is dg.ExecutorDefinition and job.executor_def.name == "in_process"
    assert all(s.default_status is dg.DefaultSensorStatus.RUNNING for s in repository.sensor_defs)


def test_nights_begin_where_data_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITS_DAGSTER_WORK__FIRST_NIGHT", "20251120")
    graph = build_definitions("archive").get_repository_def().asset_graph
    for key in graph.materializable_asset_keys:
        partitions = graph.get(key).partitions_def
        assert partitions is not None
        assert partitions.get_first_partition_key() == "20251120"
    work = load_settings().work
    assert [is_partition(work, night) for night in ("20251119", "20251120", "00000000")] == [
        False,
        True,
        False,
    ]
    for wrong in ("20251340", "x"):
        monkeypatch.setenv("FITS_DAGSTER_WORK__FIRST_NIGHT", wrong)
        with pytest.raises(ValueError, match="no night label"):
            load_settings()


def test_definitions_validate_without_any_database(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "FITS_DAGSTER"))}
    environment["FITS_DAGSTER_HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr


def test_sites_of_any_name_are_code_locations_of_any_workspace(tmp_path: Path) -> None:
    names = ["north", "south", "archive", "observatory"]
    (tmp_path / "settings.toml").write_text(
        f"sites = {names}\n[north]\nprofile = 'summit'\n[south]\nprofile = 'summit'\n"
        "[observatory]\nprofile = 'summit'\nexport_destinations = []\nreceives_uploads = true\n"
        "using_previews = true\nusing_calibration_cache = true\n"
    )
    entry = (
        "  - python_module: {{module_name: fits_dagster.code_locations, attribute: {0}, location_name: {0}}}"
    )
    workspace = "\n".join(["load_from:", *map(entry.format, names)])
    (tmp_path / "workspace.yaml").write_text(workspace)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "FITS_DAGSTER"))}
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(tmp_path / "workspace.yaml")],
        cwd=ROOT,
        env=environment | {"FITS_DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr


def test_what_several_summits_send_is_upstream_of_the_archive_and_one_server_has_all_but_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fits_dagster.code_locations as locations
    from fits_dagster.settings import load_settings, write_effective

    one_server = {
        "profile": "summit",
        "export_destinations": [],
        "receives_uploads": True,
        "using_previews": True,
        "using_calibration_cache": True,
    }
    summit = {"profile": "summit"}
    found = load_settings(
        tmp_path,
        sites=["north", "south", "observatory", "archive"],
        north=summit,
        south=summit,
        observatory=one_server,
    )
    write_effective(found, tmp_path / "effective.json")
    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(tmp_path / "effective.json"))
    locations._definitions.cache_clear()
    graph = locations.archive.get_repository_def().asset_graph
    [above, *others] = [
        {parent.path[0] for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
        if key.path == ["archive", "stored_files"]
    ]
    assert (above, others) == ({"north", "south"}, [])
    alone = locations.observatory.get_repository_def()
    assets = {key.path[1] for key in alone.asset_graph.materializable_asset_keys}
    assert {
        "dataflow_files",
        "stored_files",
        "observations",
        "previews",
        "calibration_associations",
    } <= assets
    assert "exports" not in assets
    assert {"dhs_files", "uploaded_files", "observatory_queue"} <= {s.name for s in alone.sensor_defs}
    with pytest.raises(AttributeError, match="there is no such site"):
        locations.nowhere  # noqa: B018
    locations._definitions.cache_clear()


@pytest.fixture
def use_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, summit: Site) -> None:
    """Let Dagster's resources read the settings of this test."""
    settings = load_settings(tmp_path / "home", work=summit.work.model_dump())
    path = tmp_path / "effective.json"
    write_effective(settings.with_sites(summit=summit.settings), path)
    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(path))


def evaluate(site: SiteName, sensor: str) -> list[dg.RunRequest]:
    definitions = build_definitions(site)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, definitions=definitions, resources=definitions.resources
        )
        data = definitions.get_repository_def().get_sensor_def(sensor).evaluate_tick(context)
    return list(data.run_requests or [])


@pytest.mark.usefixtures("use_settings")
def test_new_dhs_files_of_an_old_night_ask_for_one_run_of_their_night(
    summit: Site, night: list[Path]
) -> None:
    assert evaluate("summit", "dhs_files") == []
    assert summit.settings.dhs_directory is not None
    for source in night[:3]:
        (summit.settings.dhs_directory / source.name).write_bytes(b"begun")
    [request] = evaluate("summit", "dhs_files")
    assert (request.job_name, request.partition_key) == ("summit_copy", "20251123")
    assert request.tags["fits_dagster/unit"] == "summit:copy:20251123"
    # a lost cursor costs nothing: there is none, and nothing is queued twice
    evaluate("summit", "dhs_files")
    with summit.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from work_item")) == 3


@pytest.mark.usefixtures("use_settings")
def test_the_first_file_of_tonight_wakes_every_stage_that_it_will_need(
    summit: Site, night: list[Path]
) -> None:
    assert summit.settings.dhs_directory is not None
    label = str(summit.settings.night_clock.tonight())
    (summit.settings.dhs_directory / f"N{label}S0001.fits").write_bytes(b"begun")
    requests = evaluate("summit", "dhs_files")
    # edits are asked for by hand, so their stage sleeps on
    assert [(r.job_name, r.partition_key) for r in requests] == [
        (f"summit_{stage}", label) for stage in ("copy", "ingest", "export")
    ]


def waiting(site: Site, *work: NewWork, seconds: int = 5) -> None:
    """Queue work that has waited for some seconds."""
    with site.engine.begin() as connection:
        add_work(connection, work)
        connection.execute(
            text(
                "update work_item set added_at = now() - make_interval(secs => :seconds), "
                "not_before = now() - make_interval(secs => :seconds)"
            ),
            {"seconds": seconds},
        )


@pytest.mark.usefixtures("use_settings")
def test_many_nights_share_a_run_and_a_name_without_a_night_comes_along(summit: Site) -> None:
    nights = [f"202501{day:02d}" for day in range(1, 11)]
    label = str(summit.settings.night_clock.tonight())
    waiting(
        summit,
        *(NewWork(stage="export", filename=f"N{night}S0001.fits") for night in nights),
        NewWork(stage="export", filename="undated.fits"),
        NewWork(stage="export", filename=f"N{label}S0001.fits"),
    )
    requests = evaluate("summit", "summit_queue")
    assert [(r.job_name, r.partition_key) for r in requests] == [
        ("summit_export", label),
        ("summit_export_any_night", None),
    ]


@pytest.mark.usefixtures("use_settings")
def test_queues_at_rest_ask_dagster_nothing_until_work_comes(
    summit: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings()
    patient = settings.model_copy(update={"work": settings.work.model_copy(update={"tick_seconds": 50.0})})
    write_effective(patient, Path(os.environ["FITS_DAGSTER_EFFECTIVE_SETTINGS"]))
    monkeypatch.setattr(sensors, "_LOOK_AT_QUEUES_EVERY_S", 0.01)
    looks: list[bool] = []
    questions: list[int] = []

    def looked(connection: Connection) -> bool:
        if len(looks) == 3:
            waiting(summit, NewWork(stage="ingest", filename="N20250110S0001.fits"))
        looks.append(has_work_in_hand(connection))
        return looks[-1]

    def asked(instance: dg.DagsterInstance, site: Site) -> RunsInProgress:
        questions.append(len(looks))
        return runs_in_progress(instance, site)

    monkeypatch.setattr(sensors, "has_work_in_hand", looked)
    monkeypatch.setattr(sensors, "runs_in_progress", asked)
    assert [r.partition_key for r in evaluate("summit", "summit_queue")] == ["20250110"]
    assert looks == [False, False, False, True]
    # one at the beginning of the tick, for runs that nobody has begun, and one for the work
    assert questions == [0, 4]


@pytest.mark.usefixtures("use_settings")
def test_one_old_night_has_a_run_of_its_own(summit: Site) -> None:
    waiting(summit, NewWork(stage="ingest", filename="N20250110S0001.fits"))
    assert [r.partition_key for r in evaluate("summit", "summit_queue")] == ["20250110"]


@pytest.mark.usefixtures("use_settings")
def test_a_long_backlog_gets_as_many_runs_as_the_settings_allow(summit: Site) -> None:
    waiting(summit, *(NewWork(stage="ingest", filename=f"N20250110S{n:04d}.fits") for n in range(200)))
    units = [r.tags["fits_dagster/unit"] for r in evaluate("summit", "summit_queue")]
    assert units == ["summit:ingest:20250110", "summit:ingest:20250110:2"]


@pytest.mark.usefixtures("use_settings")
@pytest.mark.parametrize(("seconds", "units"), [(5, []), (20, ["summit:ingest:20250110:2"])])
def test_work_that_its_run_does_not_take_gets_another_run(
    summit: Site, seconds: int, units: list[str]
) -> None:
    waiting(summit, NewWork(stage="ingest", filename="N20250110S0001.fits"), seconds=seconds)
    definitions = build_definitions("summit")
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"fits_dagster/site": "summit", "fits_dagster/unit": "summit:ingest:20250110"}
        instance.create_run_for_job(definitions.resolve_job_def("summit_ingest"), tags=tags)
        context = dg.build_sensor_context(
            instance=instance, definitions=definitions, resources=definitions.resources
        )
        sensor = definitions.get_repository_def().get_sensor_def("summit_queue")
        requests = sensor.evaluate_tick(context).run_requests or []
    assert [r.tags["fits_dagster/unit"] for r in requests] == units


@pytest.mark.usefixtures("use_settings")
def test_a_run_that_was_made_and_never_submitted_keeps_nobody_from_its_night(
    summit: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(summit, NewWork(stage="ingest", filename="N20250110S0001.fits"), seconds=5)
    definitions = build_definitions("summit")
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"fits_dagster/site": "summit", "fits_dagster/unit": "summit:ingest:20250110"}
        made = instance.create_run_for_job(definitions.resolve_job_def("summit_ingest"), tags=tags)
        monkeypatch.setattr("fits_dagster.orchestration.wanted.age_s", lambda moment: 200.0)
        context = dg.build_sensor_context(
            instance=instance, definitions=definitions, resources=definitions.resources
        )
        sensor = definitions.get_repository_def().get_sensor_def("summit_queue")
        [request] = sensor.evaluate_tick(context).run_requests or []
        ended = instance.get_run_by_id(made.run_id)
    assert request.tags["fits_dagster/unit"] == "summit:ingest:20250110"
    assert ended is not None and ended.status is dg.DagsterRunStatus.CANCELED


@pytest.mark.usefixtures("use_settings")
def test_a_run_whose_tags_were_not_written_is_seen_to_work_on_its_night(
    summit: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = build_definitions("summit")
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"fits_dagster/site": "summit", "fits_dagster/unit": "summit:ingest:20250110"}

        def insert_without_tags(values: dict[str, Any], _: object) -> None:
            keep(values, {})

        keep = instance.run_storage._core_add_run  # type: ignore[attr-defined]
        monkeypatch.setattr(instance.run_storage, "_core_add_run", insert_without_tags)
        instance.create_run_for_job(definitions.resolve_job_def("summit_ingest"), tags=tags)
        assert instance.get_runs(dg.RunsFilter(tags={"fits_dagster/site": "summit"})) == []
        busy = runs_in_progress(instance, summit)
    assert busy.has("summit", "ingest", "20250110")


@pytest.mark.usefixtures("use_settings")
def test_a_dhs_that_cannot_be_read_skips_the_tick_with_a_warning(summit: Site) -> None:
    assert summit.settings.dhs_directory is not None
    summit.settings.dhs_directory.rmdir()
    assert evaluate("summit", "dhs_files") == []


def test_old_finished_runs_are_pruned_and_others_kept() -> None:
    from fits_dagster.orchestration.housekeeping import prune_runs

    @dg.job
    def nothing() -> None:
        return

    with dg.DagsterInstance.ephemeral() as instance:
        done = nothing.execute_in_process(instance=instance).run_id
        waiting = instance.create_run_for_job(nothing).run_id
        assert prune_runs(instance, datetime(2020, 1, 1, tzinfo=UTC)) == 0
        assert prune_runs(instance, datetime.now(UTC)) == 1
        assert [run.run_id for run in instance.get_runs()] == [waiting]
        assert done != waiting
