"""``fits-dagster processing-tags``: list, set, remove; what follows is queued, and who did it is noted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from fits_dagster.calibration import associate_headers
from fits_dagster.cli import cli
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import associate
from fits_dagster_tests.builders.versions import Archive

RECORD: dict[str, Any] = {
    "instrument": "NIFS",
    "engineering": False,
    "qa_state": "Pass",
    "processing": "Raw",
    "reduction": "RAW",
    "spectroscopy": True,
    "observation_class": "science",
    "observation_type": "OBJECT",
    "central_wavelength": "2.2",
    "types": ["SPECT"],
    "ut_datetime": datetime(2019, 6, 1, 4, tzinfo=UTC),
}
ROW = {"disperser": "K_G5605", "filter_name": "HK", "focal_plane_mask": "3.0"}
TARGET = "N20190601S0001.fits"


@pytest.fixture
def run(archive: Site, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command, at an archive with a science frame and a reduced arc of the tag ``NIFS-1``."""
    with archive.engine.begin() as connection:
        files = Archive(connection)
        header, _ = files.arrive(TARGET, RECORD, "nifs", [ROW])
        arc = RECORD | {"observation_type": "ARC", "processing": "Science-Quality"}
        files.arrive("arc.fits", arc | {"processing_tag": "NIFS-1"}, "nifs", [ROW])
        files.arrive("untold.fits", arc, "nifs", [ROW])
        associate_headers(connection, [header])
    monkeypatch.setenv("FITS_DAGSTER_ARCHIVE__DATABASE_URL", settings.archive.database_url)
    monkeypatch.setenv("FITS_DAGSTER_DATABASE_URL", settings.archive.database_url)
    monkeypatch.setenv("COLUMNS", "160")
    return lambda *arguments: CliRunner().invoke(cli, ["processing-tags", *arguments])


def listed(run: Callable[..., Result]) -> dict[str | None, dict[str, Any]]:
    return {each["tag"]: each for each in json.loads(run("list", "--json").stdout)}


def test_files_tell_of_tags_that_nobody_knows_yet(run: Callable[..., Result]) -> None:
    assert listed(run) == {
        "NIFS-1": {"tag": "NIFS-1", "known": False, "files": 1, "processed": 1},
        None: {"tag": None, "known": False, "files": 1, "processed": 1},
    }
    assert "not known" in run("list").stdout


def test_a_tag_that_is_set_brings_its_files_into_the_lists(run: Callable[..., Result], archive: Site) -> None:
    told = run("set", "NIFS-1", "--published", "--priority", "3", "--domain", "NIFS arcs")
    assert told.exit_code == 0, told.output
    assert "1 files are associated again" in told.stdout
    with archive.engine.connect() as connection:
        row = connection.execute(text("select stage, filename, priority from work_item")).one()
        assert row == ("associate", TARGET, -1)
        who, action, detail = connection.execute(text("select who, action, detail from audit")).one()
    assert who.endswith("(command line)")
    assert (action, "tag NIFS-1" in detail, "priority 3" in detail) == ("processing tag set", True, True)
    assert drain(archive, associate.STAGE).done == 1
    with archive.engine.connect() as connection:
        assert connection.scalars(text("select caltype from calcache")).all() == ["arc"]
    # what is not given stays
    assert "0 files" in run("set", "NIFS-1", "--description", "of 2019").stdout
    known = listed(run)["NIFS-1"]
    assert (known["published"], known["priority"], known["domain"]) == (True, 3, "NIFS arcs")
    assert known["description"] == "of 2019"
    assert "1 files are" in run("set", "NIFS-1", "--unpublished").stdout


def test_a_tag_that_is_removed_takes_its_files_away(run: Callable[..., Result], archive: Site) -> None:
    run("set", "NIFS-1", "--published")
    drain(archive, associate.STAGE)
    assert "1 files are associated again" in run("remove", "NIFS-1").stdout
    drain(archive, associate.STAGE)
    with archive.engine.connect() as connection:
        assert connection.scalars(text("select caltype from calcache")).all() == []
        assert connection.scalars(text("select action from audit order by id")).all() == [
            "processing tag set",
            "processing tag removed",
        ]
    again = run("remove", "NIFS-1")
    assert (again.exit_code, "no processing tag NIFS-1" in again.stderr) == (1, True)


def test_a_priority_out_of_range_is_a_mistake_of_usage(run: Callable[..., Result]) -> None:
    assert run("set", "NIFS-1", "--priority", "1000001").exit_code == 2
