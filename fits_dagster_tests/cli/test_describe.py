"""``fits-dagster describe``: records of good files, one line for each bad one, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fits_dagster.cli import cli


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["describe", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def bad(tmp_path: Path) -> dict[str, Path]:
    """Files that fail, by their reason."""
    contents = {"zero_bytes": b"", "not_fits": b"hello " * 1000, "truncated": b""}
    paths = {reason: tmp_path / f"{reason}.fits" for reason in contents}
    for reason, content in contents.items():
        paths[reason].write_bytes(content)
    return paths


def test_json_has_the_keys_of_the_archives_summary(night):
    result = run("--json", night[0], night[1])
    assert result.exit_code == 0
    records = json.loads(result.stdout)
    assert [record["name"] for record in records] == [night[0].name, night[1].name]
    assert list(records[0])[:8] == [
        "name",
        "filename",
        "path",
        "compressed",
        "file_size",
        "data_size",
        "file_md5",
        "data_md5",
    ]
    assert records[0]["instrument"] == "GMOS-N"
    assert "tags" not in records[0]


def test_tags_and_findings_are_added_on_request(night):
    (record,) = json.loads(run("--json", "--tags", "--verify", night[0]).stdout)
    assert {"GEMINI", "GMOS", "RAW"} <= set(record["tags"])
    assert record["findings"] == []
    assert run("--tags", night[0]).stdout.startswith(f"{night[0].name}: ")


def test_a_table_for_few_files_and_a_line_for_many(night):
    few = run(night[0]).stdout
    assert "observation_type" in few and night[0].name in few
    many = run(night[0].parent).stdout
    assert "observation_type" not in many
    assert many.count("GMOS-N") > 5
    assert "observation_type" in run("--full", *night[:6]).stdout


def test_every_bad_file_is_named_with_its_reason_and_the_good_ones_are_printed(night, bad, tmp_path):
    bad["truncated"].write_bytes(night[0].read_bytes()[:-5000])
    result = run("--json", night[0], *bad.values(), tmp_path / "absent.fits")
    assert result.exit_code == 1
    assert [record["name"] for record in json.loads(result.stdout)] == [night[0].name]
    for reason, path in bad.items():
        assert f"{path}: {reason}: " in result.stderr
    assert f"{tmp_path / 'absent.fits'}: file_vanished: " in result.stderr


def test_verify_tells_the_severity_of_findings(night, bad, tmp_path):
    odd = tmp_path / "N20251123S0900.fits"
    odd.write_bytes(night[0].read_bytes() + b"more")
    result = run("--verify", odd, bad["not_fits"])
    assert "warn trailing_bytes: " in result.stdout
    assert "refuse not_fits: " in result.stdout
    assert result.exit_code == 1
    assert run("--verify", odd).exit_code == 0


def test_patterns_and_directories_stand_for_their_files(night, tmp_path):
    for path in night[:3]:
        (tmp_path / "deep").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "deep" / path.name)
    (tmp_path / "deep" / "notes.txt").write_text("not looked at")
    assert len(json.loads(run("--json", tmp_path).stdout)) == 3
    assert len(json.loads(run("--json", tmp_path / "deep" / "*0001.fits").stdout)) >= 1
    assert run(tmp_path / "deep" / "*.none").exit_code == 1


def test_an_empty_directory_is_a_failure(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "no FITS files" in result.stderr


def test_texts_of_headers_are_printed_as_they_are(night, tmp_path):
    path = tmp_path / "N20251123S0901.fits"
    content = night[0].read_bytes()
    start = content.index(b"OBJECT  =")
    path.write_bytes(content[:start] + b"OBJECT  = '[red]Bias[/bad]'".ljust(80) + content[start + 80 :])
    assert "[red]Bias[/bad]" in run(path).stdout


@pytest.mark.timeout(60)
def test_odd_entries_of_a_directory_hold_nobody_up(night, tmp_path):
    shutil.copy(night[0], tmp_path / night[0].name)
    shutil.copy(night[0], os.fsdecode(bytes(tmp_path) + b"/caf\xe9\n.fits"))
    os.mkfifo(tmp_path / "fifo.fits")
    (tmp_path / "loop.fits").symlink_to("loop.fits")
    (tmp_path / "dangling.fits").symlink_to("nothing")
    result = run("--json", tmp_path)
    assert result.exit_code == 0
    assert {each["name"] for each in json.loads(result.stdout)} == {night[0].name, r"caf\xe9\x0a.fits"}
    assert "not_a_file" in run(tmp_path / "fifo.fits").stderr
