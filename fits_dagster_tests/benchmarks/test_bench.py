"""Every measurement runs, and gives its stage and its floor in one object."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.figures import Figures
from benchmarks.guard import Compared
from benchmarks.rounds import take_turns
from benchmarks.samples import NIGHT, ghost_bundle, gmos_sample, niri_sample
from fits_dagster.cli import cli
from fits_dagster.database.server import start_embedded_server, stop_embedded_server
from fits_dagster.fits.verify import check_structure
from fits_dagster.metadata import describe
from fits_dagster.nights import night_label
from fits_dagster.settings import Settings, load_settings
from fits_dagster.system.database import prepare_databases

KEYS = ("files_per_s", "ms_per_file", "floor_ms_per_file", "ratio", "workers")
SMALL = ("--size-mb", "4")
#: Measurements that repeat stage and floor.
WITH_ROUNDS = ("headers", "ingest", "ledger", "load", "objects", "previews", "rescan", "small", "start")


@pytest.fixture
def one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure once where a figure that counts is a median of several."""
    for name in WITH_ROUNDS:
        module = importlib.import_module(f"benchmarks.{name}")
        monkeypatch.setattr(module, "take_turns", lambda _, stage, floor: take_turns(1, stage, floor))
    monkeypatch.setattr("benchmarks.transfer._COPY_ROUNDS", 1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a database server of a home, as measurements prepare them, at rest."""
    settings = load_settings(tmp_path_factory.mktemp("prepared"))
    prepare_databases(settings)
    stop_embedded_server(settings)
    return settings.home / "postgresql" / "data"


@pytest.fixture
def copied_databases(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let homes begin with a copy of databases that have been prepared once."""

    def copy(settings: Settings) -> None:
        directory = settings.home / "postgresql"
        directory.mkdir(exist_ok=True)
        # with their owner: the server of root is run by another user
        subprocess.run(["cp", "--archive", str(prepared), str(directory)], check=True)
        start_embedded_server(settings)

    monkeypatch.setattr("benchmarks.home.prepare_databases", copy)


def run(home: Path, name: str, *options: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli, ["bench", name, "--json", *options, "--home", str(home)])
    assert result.exit_code == 0, (result.output, result.exception)
    assert list(home.iterdir()) == []  # nothing is left behind
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("name", "options", "runs"),
    [
        ("ingest", ("--files", "2", *SMALL, "--workers", "1", "--workers", "2"), 2),
        ("reingest", ("--files", "50", "--files-per-night", "3"), 2),
        ("queuestatus", ("--waiting", "300", "--failed", "30"), 2),
        ("copy", ("--files", "1", *SMALL, "--workers", "2"), 1),
        ("export", ("--files", "1", *SMALL, "--workers", "1"), 1),
        ("header-export", ("--files", "1", *SMALL, "--workers", "1"), 1),
        ("preview", ("--files", "1"), 5),
        ("small", ("--files", "3"), 1),
        ("load", ("--files", "3", "--workers", "1"), 1),
        ("rebuild", ("--files", "2", "--place", "disk", "--compressed", *SMALL), 1),
        ("rebuild", ("--files", "2", "--place", "s3", *SMALL), 1),
        ("ledger", ("--items", "100", "--workers", "2"), 1),
        ("objects", ("--files", "1", *SMALL), 2),
        ("memory", ("--files", "40"), 2),
        ("start", (), 2),
    ],
)
@pytest.mark.usefixtures("one_round", "copied_databases")
def test_a_measurement_gives_stage_and_floor_and_cleans_up(tmp_path, name, options, runs):
    found = run(tmp_path, name, *options)
    assert found["bench"] == name
    assert len(found["runs"]) == runs
    for figures in found["runs"]:
        assert all(figures[key] > 0 for key in KEYS)
        assert figures["ratio"] == pytest.approx(
            figures["ms_per_file"] / figures["floor_ms_per_file"], rel=0.02
        )


def test_nothing_is_left_when_the_process_has_ended(tmp_path):
    program = [sys.executable, "-c", "from fits_dagster.cli import main; main()"]
    options = ("--files", "3", "--files-per-night", "1", "--home", str(tmp_path))
    subprocess.run([*program, "bench", "reingest", *options], check=True, timeout=120, capture_output=True)
    assert list(tmp_path.iterdir()) == []


def test_describe_needs_no_home():
    result = CliRunner().invoke(cli, ["bench", "describe", "--rounds", "1", "--json"])
    found = json.loads(result.stdout)
    assert [run["hdus"] for run in found["runs"]] == [13, 2, 41]
    table = CliRunner().invoke(cli, ["bench", "describe", "--rounds", "1"])
    assert "GHOST bundle" in table.stdout and "floor: " in table.stdout


def test_figures_follow_from_times_and_sizes():
    figures = Figures(
        name="x", floor="y", aim="z", files=4, bytes=8_000_000, seconds=2.0, floor_seconds=1.0, workers=2
    )
    assert (figures.files_per_s, figures.mb_per_s, figures.ms_per_file) == (2.0, 4.0, 500.0)
    assert (figures.floor_ms_per_file, figures.ratio) == (250.0, 2.0)


@pytest.mark.parametrize(("sample", "size"), [(gmos_sample(4), 4.2e6), (niri_sample(), 4.2e6)])
def test_samples_are_whole_files_with_contents_of_their_own(tmp_path, sample, size):
    paths: Sequence[Path] = sample.write(tmp_path, range(1, 3))
    assert [night_label(path.name) for path in paths] == [NIGHT, NIGHT]
    assert paths[0].read_bytes() != paths[1].read_bytes()
    assert paths[0].stat().st_size == pytest.approx(size, rel=0.05)
    assert check_structure(paths[0]) == []


def test_the_bundle_is_described_as_one():
    described = describe(ghost_bundle(), f"S{NIGHT}S0001.fits")
    assert {"GHOST", "BUNDLE"} <= described.tags
    assert [row["arm"] for row in described.instrument_rows] == ["blue", "red", "slitv"]


@pytest.mark.usefixtures("one_round")
def test_the_table_has_a_line_for_each_measurement():
    result = CliRunner().invoke(cli, ["bench", "all", "--only", "describe"])
    assert result.exit_code == 0, (result.output, result.exception)
    lines = [line for line in result.stdout.splitlines() if line.startswith("| describe |")]
    assert len(lines) == 3
    assert all(" to " in line for line in lines)


def test_the_guard_fails_where_a_ratio_is_much_worse_than_the_kept_one():
    assert Compared("x", 3.1, 2.0).is_worse
    assert not Compared("x", 2.9, 2.0).is_worse
    assert not Compared("new", 9.0, None).is_worse
