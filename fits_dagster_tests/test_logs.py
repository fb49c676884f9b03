"""Log files: the old line format, JSON on request, several writers and a rotation, following."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fits_dagster import logs
from fits_dagster.cli import cli
from fits_dagster.ledger.loop import drain
from fits_dagster.settings import Settings, load_settings
from fits_dagster.sites import Site
from fits_dagster.stages import associate, edit, export, ingest, preview, store
from fits_dagster.storage.landing import md5_of
from fits_dagster_tests.builders.flow import carry, copy_in, put_on_dhs


@pytest.fixture
def clean_logger() -> Iterator[logging.Logger]:
    """The package's logger without handlers; it gets those it had back afterwards."""
    logger = logging.getLogger("fits_dagster")
    before, logger.handlers = logger.handlers, []
    yield logger
    for handler in logger.handlers:
        handler.close()
    logger.handlers = before


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return load_settings(tmp_path)


def test_lines_have_the_known_format(home: Settings, clean_logger: logging.Logger) -> None:
    logs.configure_logging(home, "summit-ingest")
    logs.configure_logging(home, "summit-ingest")
    clean_logger.getChild("dataflow").info("ingested N20251123S0001.fits")
    [line] = logs.tail(home.home / "logs" / "summit-ingest.log", 10)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \d+:test_logs:\d+ INFO: ingested N20251123S0001.fits", line
    )


def test_json_on_request_carries_what_the_line_is_about(tmp_path: Path, clean_logger: logging.Logger) -> None:
    settings = load_settings(tmp_path, log_json=True)
    logs.configure_logging(settings, "archive-store")
    clean_logger.warning("failed", extra={"stage": "store", "frame": "N1.fits", "attempt": 2})
    line = json.loads((tmp_path / "logs" / "archive-store.log").read_text())
    assert (line["level"], line["message"], line["stage"], line["frame"]) == (
        "WARNING",
        "failed",
        "store",
        "N1.fits",
    )
    assert line["time"].endswith("+00:00")


def test_files_are_chosen_by_site_and_stage(home: Settings) -> None:
    directory = home.home / "logs"
    directory.mkdir(parents=True)
    for name in ("summit-ingest", "archive-ingest", "summit-export", "daemon"):
        (directory / f"{name}.log").touch()

    def chosen(*names: str) -> list[str]:
        return [path.stem for path in logs.log_files(home, names)]

    assert chosen("ingest") == ["archive-ingest", "summit-ingest"]
    assert chosen("summit-ingest", "daemon") == ["daemon", "summit-ingest"]
    assert len(chosen()) == 4
    assert chosen("gest") == []


def test_several_processes_write_one_file_through_a_rotation(tmp_path: Path) -> None:
    program = """
import logging, sys
from pathlib import Path
from fits_dagster import logs
from fits_dagster.settings import load_settings
logs.configure_logging(load_settings(Path(sys.argv[1]), log_file_mb=0.004), "summit-ingest")
for n in range(100):
    logging.getLogger("fits_dagster").info("writer %s line %d", sys.argv[2], n)
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(number)]) for number in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = sorted((tmp_path / "logs").glob("summit-ingest.log*"))
    assert 1 < len(files) <= 11
    assert all(path.stat().st_size <= 4200 for path in files)
    kept = "".join(path.read_text() for path in files)
    assert all(re.search(r": writer \d line \d+$", line) for line in kept.splitlines())
    assert "writer 0 line 99" in kept or "writer 1 line 99" in kept


def test_following_goes_on_after_a_rotation(home: Settings) -> None:
    path = home.home / "logs" / "summit-ingest.log"
    path.parent.mkdir(parents=True)
    path.write_text("old\n")
    lines = logs.follow([path])

    def write() -> None:
        time.sleep(0.5)
        with path.open("a") as stream:
            stream.write("one\ntwo\n")
        time.sleep(1.0)
        path.rename(path.with_suffix(".log.1"))
        path.write_text("three\n")

    threading.Thread(target=write, daemon=True).start()
    assert [next(lines)[1] for _ in range(3)] == ["one", "two", "three"]


def test_the_command_shows_several_files_in_the_order_of_time(home: Settings) -> None:
    directory = home.home / "logs"
    directory.mkdir(parents=True)
    (directory / "summit-ingest.log").write_text("2026-01-01 00:00:02,000 b\n")
    (directory / "archive-ingest.log").write_text("2026-01-01 00:00:01,000 a\n2026-01-01 00:00:03,000 c\n")
    answer = CliRunner().invoke(cli, ["logs", "ingest", "--home", str(home.home)])
    assert [line.split()[-1] for line in answer.output.splitlines()] == ["a", "b", "c"]
    answer = CliRunner().invoke(cli, ["logs", "nothing", "--home", str(home.home)])
    assert answer.exit_code == 1


@pytest.mark.parametrize("letter", ["\n", "\r", "\x1b", "\x85", "\u2028", "\udce9"])
def test_a_name_cannot_forge_a_line(home: Settings, clean_logger: logging.Logger, letter: str) -> None:
    logs.configure_logging(home, "archive-web")
    forged = f"x{letter}2025-11-23 00:00:00,000 1:copy:1 INFO: copied everything"
    clean_logger.warning("upload of %s refused", forged)
    try:
        raise ValueError(forged)
    except ValueError:
        clean_logger.exception("upload of %s", forged)
    written = (home.home / "logs" / "archive-web.log").read_text()
    begins = [line for line in written.splitlines() if not line.startswith("  ")]
    assert len(begins) == 2
    assert all(":test_logs:" in line for line in begins)


def _told(home: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (home / "logs" / "all.log").read_text().splitlines()]


def test_one_token_follows_a_content_from_the_telescope_to_its_picture(
    tmp_path: Path, clean_logger: logging.Logger, connected_summit: Site, archive: Site, night: list[Path]
) -> None:
    logs.configure_logging(load_settings(tmp_path, log_json=True), "all")
    files = night[:2]
    carry(connected_summit, archive, files)
    for stage in (preview.STAGE, associate.STAGE):
        assert drain(archive, stage).done == len(files)
    for file in files:
        lines = [line for line in _told(tmp_path) if line.get("content") == md5_of(file)]
        steps = [line.get("stage", line["action"]) for line in lines]
        assert steps == ["copy", "ingest", "received", "export", "store", "ingest", "preview", "associate"]
        assert {line["file"] for line in lines} == {file.name}
        assert all(md5_of(file) in line["message"] for line in lines)


def test_an_edited_header_is_another_content_of_the_same_file(
    tmp_path: Path, clean_logger: logging.Logger, connected_summit: Site, archive: Site, night: list[Path]
) -> None:
    from fits_dagster.headers.updates import update_headers

    logs.configure_logging(load_settings(tmp_path, log_json=True), "all")
    [file] = night[:1]
    carry(connected_summit, archive, [file])
    item = {"filename": file.name, "values": {"qa_state": "fail"}}
    assert update_headers(connected_summit, [item], asked_by="test")[0]["result"] is True
    for site, stage in (
        (connected_summit, edit.STAGE),
        (connected_summit, ingest.STAGE),
        (connected_summit, export.STAGE),
        (archive, store.STAGE),
        (archive, ingest.STAGE),
    ):
        drain(site, stage)
    later = _told(tmp_path)
    [content] = {line["content"] for line in later if line.get("stage") == "edit"}
    assert content != md5_of(file)
    steps = [line.get("stage", line["action"]) for line in later if line.get("content") == content]
    assert steps == ["edit", "ingest", "received", "export", "store", "ingest"]
    assert {line["file"] for line in later if "file" in line} == {file.name}


def test_a_failure_names_the_file_and_the_content_that_the_stage_before_let_go(
    tmp_path: Path, clean_logger: logging.Logger, summit: Site, night: list[Path]
) -> None:
    logs.configure_logging(load_settings(tmp_path, log_json=True), "all")
    [file] = put_on_dhs(summit, night[:1])
    copy_in(summit)
    summit.store.delete(file.name)
    drain(summit, ingest.STAGE)
    [failed] = [line for line in _told(tmp_path) if line.get("action") == "failed"]
    assert (failed["stage"], failed["file"], failed["content"]) == ("ingest", file.name, md5_of(file))


def test_the_lines_about_a_file_are_found_in_all_logs_and_those_put_aside(home: Settings) -> None:
    directory = home.home / "logs"
    directory.mkdir(parents=True)
    (directory / "archive-store.log.1").write_text("2026-01-01 00:00:03,000 stored N1.fits\n")
    (directory / "archive-store.log").write_text("2026-01-01 00:00:04,000 stored N2.fits\n")
    (directory / "summit-copy.log").write_text("2026-01-01 00:00:01,000 copied N1.fits\n")
    (directory / "summit-ingest.log").write_text(
        '{"time": "2026-01-01T00:00:02.000+00:00", "file": "N1.fits"}\n'
    )
    answer = CliRunner().invoke(cli, ["logs", "--about", "N1.fits", "--home", str(home.home)])
    stems = [line.split(":")[0] for line in answer.output.splitlines()]
    assert stems == ["summit-copy", "summit-ingest", "archive-store"]
