"""A store of many files is made again while processes of the rebuild are killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.large_rebuild import measure_large_rebuild

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_everything_is_there_once_though_processes_and_the_command_are_killed(tmp_path: Path) -> None:
    figures = measure_large_rebuild(tmp_path, objects=400)
    assert figures["records"] == figures["versions"] == figures["previews"] == 400 - figures["broken"]
    assert (figures["failed"], figures["left"]) == (figures["broken"], 0)
    assert [each.split(" at ")[0] for each in figures["killed"]] == ["a process", "a command", "a process"]
