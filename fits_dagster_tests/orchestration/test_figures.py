"""What a run reports to Dagster, above all where there is nothing to report."""

from __future__ import annotations

import dagster as dg
import pytest

from fits_dagster.ledger.report import DrainReport, FileFailure
from fits_dagster.ledger.stage import NightSummary
from fits_dagster.orchestration.figures import failure, listed, night_figures, run_figures, table
from fits_dagster.settings import load_settings
from fits_dagster.sites import Site
from fits_dagster.stages import associate
from fits_dagster.stages.registry import stages_of

NIGHT = "20251123"


def accepted(metadata: dict[str, object]) -> None:
    """Dagster takes the figures as metadata of an output and of an event."""
    dg.Output(None, metadata=metadata)
    dg.AssetMaterialization("a", metadata=metadata)


def test_a_table_without_rows_is_a_table() -> None:
    assert table([]).value.records == []
    assert [dict(record.data) for record in table([{"file": "x"}]).value.records] == [{"file": "x"}]


def test_a_run_that_found_nothing_to_do_has_figures() -> None:
    figures = run_figures(DrainReport("copy"))
    accepted(figures)
    assert figures["files"] == figures["failed"] == figures["retrying"] == 0
    assert listed({}) == "nothing to do"


def test_a_run_with_files_to_be_tried_again_has_their_table() -> None:
    again = FileFailure("x.fits", "", NIGHT, "disk_full", "no space", "Traceback", retry_in=5.0)
    figures = run_figures(DrainReport("copy", retrying=[again]))
    accepted(figures)
    assert figures["retrying"] == 1


@pytest.mark.parametrize("stage", stages_of(load_settings().archive), ids=lambda stage: stage.name)
def test_the_figures_of_a_night_without_files_are_accepted(archive: Site, stage: object) -> None:
    accepted(night_figures(archive, stage, [NIGHT]))  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [[], [{"file": "x.fits", "lacks": "flat"}]])
def test_a_night_in_which_nothing_is_missing_is_as_good_as_any(
    archive: Site, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, str]]
) -> None:
    summary = NightSummary({"science": 1, "calibrated": 1 - len(rows)}, "not_calibrated", rows)
    monkeypatch.setattr(type(associate.STAGE), "summary", lambda *_: summary)
    figures = night_figures(archive, associate.STAGE, [NIGHT])
    accepted(figures)
    assert ("not_calibrated" in figures) is bool(rows)


def test_a_failure_names_its_files_and_one_without_files_is_one_all_the_same() -> None:
    bad = FileFailure("x.fits", "", NIGHT, "truncated", "5000 bytes missing", "Traceback")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_op_context(instance=instance)
        error = failure(context, DrainReport("copy", failures=[bad]))
        assert "x.fits: truncated" in str(error.description)
        failure(context, DrainReport("copy"))
