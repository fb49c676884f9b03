"""An observatory with one server: it copies, ingests, previews and associates, and sends nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, text

from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.pending import queue_depths
from fits_dagster.orchestration.definitions import build_definitions
from fits_dagster.settings import Settings, load_settings, write_effective
from fits_dagster.sites import Site, opened_site
from fits_dagster.stages.registry import stages_of


@pytest.fixture
def one_server(tmp_path: Path, postgres_url: Callable[[], URL], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a home with one site."""
    database = postgres_url().render_as_string(hide_password=False)
    settings = load_settings(
        tmp_path / "home",
        sites=["observatory"],
        work={"associate_again_seconds": 0},
        observatory={
            "profile": "summit",
            "database_url": database,
            "export_destinations": [],
            "using_previews": True,
            "using_calibration_cache": True,
            "dhs_stable_seconds": 0,
            "defer_seconds": 0,
        },
    )
    site = settings.site("observatory")
    for directory in (site.dhs_directory, site.store_directory):
        assert directory is not None
        directory.mkdir(parents=True)
    write_effective(settings, tmp_path / "effective.json")
    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(tmp_path / "effective.json"))
    return settings


@pytest.fixture
def observatory(one_server: Settings) -> Iterator[Site]:
    """The site, open."""
    with opened_site(one_server, "observatory") as site:
        yield site


def test_a_night_goes_from_the_dhs_to_pictures_and_associations(observatory: Site, night: list[Path]) -> None:
    assert observatory.settings.dhs_directory is not None
    for source in night:
        shutil.copy(source, observatory.settings.dhs_directory)
    stages = stages_of(observatory.settings)
    assert [stage.name for stage in stages if stage.is_on_the_way(observatory)] == [
        "copy",
        "ingest",
        "preview",
        "associate",
    ]
    done: Counter[str] = Counter()
    # a file is copied when it has been seen twice
    for _ in range(3):
        stages[0].watch(observatory)()
        with observatory.engine.begin() as connection:
            connection.execute(text("update work_item set not_before = now()"))
        for stage in stages:
            report = drain(observatory, stage)
            assert report.failures == []
            done[stage.name] += report.done
    assert done["copy"] == done["ingest"] == done["preview"] == len(night) <= done["associate"]
    with observatory.engine.connect() as connection:
        assert all(not (d.waiting or d.running or d.failed) for d in queue_depths(connection).values())
        stored = connection.scalars(text("select filename from diskfile where present and canonical")).all()
        assert connection.scalar(text("select count(*) from calcache")) > 0
    assert sorted(stored) == sorted(path.name for path in night)
    assert any(info.key.endswith(".jpg") for info in observatory.store.objects("previews"))


@pytest.mark.usefixtures("one_server")
def test_its_definitions_load_and_have_no_exports() -> None:
    repository = build_definitions("observatory").get_repository_def()
    assets = {"/".join(key.path) for key in repository.asset_graph.materializable_asset_keys}
    assert assets == {
        f"observatory/{asset}"
        for asset in (
            "dataflow_files",
            "header_updates",
            "observations",
            "previews",
            "calibration_associations",
        )
    }
    assert {"dhs_files", "observatory_queue"} <= {sensor.name for sensor in repository.sensor_defs}
