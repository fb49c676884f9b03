"""Which stages there are: in order, by their entry points, with what goes wrong in other packages."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points

import pytest

from fits_dagster.settings import load_settings
from fits_dagster.stages import registry
from fits_dagster.stages.preview import PreviewStage
from fits_dagster.stages.registry import all_stages, arrivals, find_stage, followers, stages_of, way_to

OWN = ["copy", "edit", "store", "ingest", "export", "preview", "associate"]


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Entry points of other packages besides those of this one."""
    more: list[EntryPoint] = []
    own = list(entry_points(group=registry.ENTRY_POINT_GROUP))
    monkeypatch.setattr(registry, "entry_points", lambda group: [*more, *own])
    all_stages.cache_clear()
    yield more
    all_stages.cache_clear()


def test_stages_are_in_the_order_in_which_a_file_meets_them() -> None:
    names = list(all_stages())
    assert sorted(names) == sorted(OWN)
    settings = load_settings()
    assert [s.name for s in stages_of(settings.summit)] == ["copy", "edit", "ingest", "export"]
    assert [s.name for s in stages_of(settings.archive)] == ["store", "ingest", "preview", "associate"]


def test_the_way_of_a_file_is_what_leads_to_its_arrival() -> None:
    summit, archive = load_settings().summit, load_settings().archive
    assert [s.name for s in arrivals(summit)] == ["ingest", "export"]
    assert [s.name for s in arrivals(archive)] == ["ingest"]
    way = way_to(stages_of(archive), arrivals(archive)[-1])
    assert [s.name for s in way] == ["store", "ingest"]
    assert [s.name for s in followers(archive, "ingest")] == ["preview", "associate"]
    assert find_stage(summit, "preview") is None


class Clashing(PreviewStage):
    """A stage of another package that has the tab of one of this package."""

    name = "other"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("no.such.module:STAGE", "No module named"),
        (f"{__name__}:CLASHING", "stages other and preview have the same tab"),
    ],
)
def test_a_plug_in_that_is_wrong_is_left_out_and_logged(
    points: list[EntryPoint],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    value: str,
    complaint: str,
) -> None:
    load = EntryPoint.load
    monkeypatch.setattr(
        EntryPoint, "load", lambda self: Clashing() if "CLASHING" in self.value else load(self)
    )
    points.append(EntryPoint("other", value, registry.ENTRY_POINT_GROUP))
    assert sorted(all_stages()) == sorted(OWN)
    assert f"stage plug-in other ({value}) is left out" in caplog.text
    assert complaint in caplog.text
