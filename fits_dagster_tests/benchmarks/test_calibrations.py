"""The simulated archive of the measurement of associations."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.observing import simulate_records
from fits_dagster.calibration.rules import load_rulesets
from fits_dagster.cli import cli
from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.records.tables import header


def test_nights_have_all_instruments_with_rules_and_values_of_columns_that_exist() -> None:
    frames = list(simulate_records(datetime(2018, 1, 1, tzinfo=UTC), nights=2, files=400))
    assert len(frames) == 800
    # plain GMOS is a spelling that no header of these years has
    assert {frame.record["instrument"] for frame in frames} == set(load_rulesets()) - {"GMOS"}
    for frame in frames:
        assert set(frame.record) <= set(header.columns.keys())
        assert all(set(row) <= set(INSTRUMENT_TABLES[str(frame.table)].columns.keys()) for row in frame.rows)
    times = [frame.record["ut_datetime"] for frame in frames]
    assert times == sorted(times)


@pytest.mark.slow
def test_the_measurement_runs_and_no_plan_reads_a_whole_table(tmp_path: Path) -> None:
    arguments = ["bench", "calibrations", "--rows", "10000,20000", "--json", "--home", str(tmp_path)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    found = json.loads(result.stdout)
    assert [run["headers"] for run in found["runs"]] == [10_000, 20_000]
    for run in found["runs"]:
        assert run["sequential_scans"] == []
        assert run["calibrations_per_file"] > 10
    assert list(tmp_path.iterdir()) == []
