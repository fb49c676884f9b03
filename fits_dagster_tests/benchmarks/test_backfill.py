"""A backfill of old nights beside tonight's files, through whole systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.backfill import measure_backfill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_live_files_arrive_beside_a_backfill_and_the_backfill_ends(tmp_path: Path) -> None:
    figures = measure_backfill(
        tmp_path, nights=20, files_per_night=2, files=6, seconds=3, to_the_end=True, rounds=1
    )
    assert (figures["missing"], figures["altered"], figures["timed_out"]) == (0, 0, False)
    assert figures["files_of_the_backfill"] == 40
    assert figures["backfill"]["whole_seconds"] > 0, "Dagster calls it ended, and every file was done"
