"""Two summits, north and south, each with its own DHS and night clock, send to one archive."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from fits_dagster_tests.system.conftest import command, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_the_nights_of_two_summits_arrive_unaltered_in_one_archive(tmp_path: Path) -> None:
    figures = tmp_path / "demo.json"
    done = subprocess.run(
        command(
            *("demo", "--home", str(tmp_path / "home"), "--summits", "2", "--exit", "--json", str(figures)),
            *("--files", "6", "--seconds", "4"),
        ),
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(figures.read_text())
    assert (report["files"], report["dhs"], report["md5_equal"]) == (6, 6, 6)
    assert (report["missing"], report["altered"], report["refused"]) == ([], [], [])
    home = tmp_path / "home" / "demo"
    for site, letter in (("north", "N"), ("south", "S")):
        for directory in ("dhs", "dataflow"):
            names = [path.name for path in (home / site / directory).glob("*.fits")]
            assert len(names) == 3 and all(name.startswith(letter) for name in names), (site, directory)
    for figure in ("north_database", "south_database"):
        assert report[figure] == 3
    assert report["archive_database"] == 6
    effective = json.loads((home / "effective-settings.json").read_text())["tables"]
    assert [effective[name]["night_hours_ahead"] for name in ("north", "south")] == [0.0, 6.0]
