"""The measurement of lists, searches and pages runs, and gives a figure for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fits_dagster.cli import cli


@pytest.mark.slow
def test_every_question_gets_its_figure(tmp_path: Path) -> None:
    arguments = ["bench", "http", "--headers", "10000", "--json", "--home", str(tmp_path)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    runs = {run["name"]: run for run in json.loads(result.stdout)["runs"]}
    for name in ("jsonsummary, 500 rows", "cone search", "search page, a night", "file page", "night page"):
        assert runs[name]["answer_ms"] > 0
    assert runs["jsonsummary, 500 rows"]["bytes"] > 500 * 1000
    assert runs["file, plain"]["share_of_static"] > 0
    assert list(tmp_path.iterdir()) == []
