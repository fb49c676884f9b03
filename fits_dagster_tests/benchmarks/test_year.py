"""A year of nights: what is planned follows from the seed, and whatever goes wrong on the way is told."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import psutil
import pytest

from benchmarks.year.expected import Book, Expected, Verdict, body_md5, verify
from benchmarks.year.meters import Stretch
from benchmarks.year.options import Year, YearOptions
from benchmarks.year.parts import Part, PartError, begin_part, end_part
from benchmarks.year.plan import Chances, YearPlan, broken, content, rewritten
from fits_dagster.headers.updates import update_headers
from fits_dagster.ledger.loop import drain
from fits_dagster.nights import Night
from fits_dagster.simulator import PlannedFrame
from fits_dagster.sites import Site
from fits_dagster.stages.registry import all_stages
from fits_dagster_tests.builders.flow import carry, store_of

OFTEN = Chances(broken=0.2, late=0.3, edited=0.2, rewritten=0.1, touched=0.1, outage=0.5)
EDITS = {"RAWGEMQA": "BAD", "RAWPIREQ": "NO"}


def plan(seed: int = 1, files: int = 30) -> YearPlan:
    return YearPlan(date(2025, 11, 20), 5, files, seed, OFTEN)


def test_the_same_seed_makes_the_same_night() -> None:
    again, other = plan().night(3), plan(seed=2).night(3)
    night = plan().night(3)
    assert night == again
    assert [content(frame) for frame in night.frames] == [content(frame) for frame in again.frames]
    assert (night.faults, night.late) != (other.faults, other.late)
    assert str(night.night) == "20251123"
    assert not set(night.faults) & set(night.late)


def test_files_are_small_come_in_the_order_of_time_and_differ() -> None:
    frames = plan(files=60).night(0).frames
    contents = [content(frame) for frame in frames]
    assert len({hashlib.md5(each).digest() for each in contents}) == len(frames) == 60
    assert all(5_000 < len(each) < 200_000 and len(each) % 2880 == 0 for each in contents)
    assert [frame.ut for frame in frames] == sorted(frame.ut for frame in frames)


def write(directory: Path, frames: Sequence[PlannedFrame]) -> list[Path]:
    directory.mkdir()
    paths = []
    for frame in frames:
        paths.append(directory / frame.filename)
        paths[-1].write_bytes(content(frame))
    return paths


def expected(path: Path) -> Expected:
    return Expected(path.name, hashlib.md5(path.read_bytes()).hexdigest())


def judged(tmp_path: Path, archive: Site, files: Sequence[Expected], failures: dict[str, str]) -> Verdict:
    book = Book(tmp_path / "book.jsonl")
    book.write(files)
    try:
        return verify(book, archive, failures, [])
    finally:
        book.close()


def test_whatever_is_wrong_at_the_archive_is_told(
    tmp_path: Path, connected_summit: Site, archive: Site
) -> None:
    paths = write(tmp_path / "night", plan(files=5).night(0).frames)
    carry(connected_summit, archive, paths)
    files = [expected(path) for path in paths]
    assert judged(tmp_path, archive, files, {}).equal == 5
    assert judged(tmp_path, archive, files, {}).is_good

    # another content was given; its bytes have rotten in the store; it is not there at all; it never came
    files[0].md5 = "0" * 32
    [rotten] = store_of(archive).glob(f"{files[1].name}*")
    [gone] = store_of(archive).glob(f"{files[2].name}*")
    [same] = store_of(archive).glob(f"{files[3].name}*")
    rotten.write_bytes(same.read_bytes())
    gone.unlink()
    files += [Expected("N20251120S9001.fits", "0" * 32), Expected("N20251120S9002.fits", "", "no_end")]
    files += [Expected("N20251120S9003.fits", "", "no_fits")]
    failures = {"N20251120S9003.fits": "summit copy: not_fits", files[4].name: "archive preview: bad_data"}
    verdict = judged(tmp_path, archive, files, failures)
    assert set(verdict.altered) == {files[0].name, files[1].name}
    assert verdict.missing == [files[2].name, "N20251120S9001.fits"]
    assert verdict.not_failed == ["N20251120S9002.fits"]
    assert verdict.failed == {"N20251120S9003.fits": "no_fits: summit copy: not_fits"}
    assert verdict.failed_whole == {files[4].name: "archive preview: bad_data"}
    assert not verdict.is_good


def test_of_an_edited_file_only_the_edited_cards_may_differ(
    tmp_path: Path, connected_summit: Site, archive: Site
) -> None:
    [path] = write(tmp_path / "night", plan(files=1).night(0).frames)
    carry(connected_summit, archive, [path])
    file = expected(path)
    file.edits, file.body_md5 = EDITS, body_md5(path.read_bytes(), list(EDITS))
    assert "not edited" in judged(tmp_path, archive, [file], {}).altered[path.name]

    item = {"filename": path.name, "values": {"qa_state": "fail"}}
    assert update_headers(connected_summit, [item], asked_by="test")[0]["result"] is True
    for site, name in (
        (connected_summit, "edit"),
        (connected_summit, "ingest"),
        (connected_summit, "export"),
        (archive, "store"),
        (archive, "ingest"),
    ):
        drain(site, all_stages()[name])
    assert judged(tmp_path, archive, [file], {}).edited == 1
    file.body_md5 = "0" * 32
    assert "something else" in judged(tmp_path, archive, [file], {}).altered[path.name]


@pytest.mark.parametrize("fault", ["no_end", "no_fits", "no_card", "late_end"])
def test_faults_are_faults_and_other_hands_change_the_header_only(fault) -> None:
    whole = content(plan().night(0).frames[0])
    assert broken(whole, fault) != whole
    changed = rewritten(whole, "night staff")
    assert len(changed) == len(whole)
    assert body_md5(changed, ["OBSERVER"]) == body_md5(whole, ["OBSERVER"])
    assert body_md5(changed, []) != body_md5(whole, [])


def started(home: Path, *options: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", "from fits_dagster.cli import main; main()"]
    return subprocess.Popen(
        [*program, "simulate-year", "--files-per-night", "10", "--home", str(home), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def of_home(home: Path) -> list[str]:
    """Processes that work for a home below a directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FITS_DAGSTER_HOME", "").startswith(str(home)):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def wait_for_home(process: subprocess.Popen[str], directory: Path) -> None:
    """Wait until the system of a year runs."""
    deadline = time.monotonic() + 120
    while not list(directory.glob("**/home/up.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_nights_arrive_and_what_is_broken_is_named(tmp_path: Path) -> None:
    home, figures = tmp_path / "home", tmp_path / "year.json"
    options = ("--nights", "3", "--row-nights", "1", "--broken", "0.2", "--edited", "0.2", "--outages", "1")
    process = started(home, *options, "--json", str(figures))
    output, _ = process.communicate(timeout=850)
    assert process.returncode == 0, output
    found = json.loads(figures.read_text())
    assert found["files"] == 30
    assert found["md5_equal"] + found["edited_and_else_equal"] + len(found["failed"]) == 30
    assert found["failed"]
    assert all("summit copy: " in reason for reason in found["failed"].values())
    assert found["missing"] == found["stuck"] == found["findings"] == []
    assert [row["nights"] for row in found["rows"]] == [1, 1, 1]
    assert "MD5 equal" in output
    assert list(home.iterdir()) == []
    assert of_home(home) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_year_of_so_many_minutes_ends_with_the_night_and_is_compared(tmp_path: Path) -> None:
    figures = tmp_path / "year.json"
    process = started(
        tmp_path / "home", "--nights", "300", "--minutes", "0", "--late", "0.5", "--json", str(figures)
    )
    output, _ = process.communicate(timeout=550)
    assert process.returncode == 0, output
    found = json.loads(figures.read_text())
    assert (found["nights"], found["nights_given"], found["files"]) == (300, 1, 10)
    assert found["md5_equal"] + found["edited_and_else_equal"] + len(found["failed"]) == 10


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_year_goes_on_in_another_part(tmp_path: Path) -> None:
    kept, figures = tmp_path / "kept", tmp_path / "year.json"
    options = ("--nights", "3", "--broken", "0.3", "--late", "0.5", "--edited", "0.2")
    options += ("--row-nights", "1", "--keep", str(kept), "--json", str(figures))
    given = []
    for number in range(2):
        process = started(tmp_path / "none", *options)
        if number == 0:
            # it ends with the night that is on, or with the next
            wait_for_home(process, kept)
            os.kill(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output
        found = json.loads(figures.read_text())
        given.append(found["nights_given"])
        assert found["files"] == 10 * given[-1]
        assert found["md5_equal"] + found["edited_and_else_equal"] + len(found["failed"]) == found["files"]
        assert of_home(kept) == []
    assert given in ([1, 3], [2, 3])
    assert sum(row["files"] for row in found["rows"]) == 30
    assert [row["nights"] for row in found["rows"]] == [1, 1, 1]
    process = started(tmp_path / "none", *options)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "all nights" in output


def test_a_part_that_was_broken_off_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    year = Year(YearOptions(nights=3, keep=kept, first=date(2025, 3, 1)))
    kept.mkdir()
    assert begin_part(kept, year) == Part()
    year.deeds["headers edited"] = 2
    year.stretches.append(Stretch("20250301", nights=1, files=100))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    end_part(kept, year, Part(1, {Night.parse("20250301"): moment}, removed=7, findings=("odd",)))
    with pytest.raises(PartError, match="not of"):
        begin_part(kept, Year(YearOptions(nights=4, keep=kept)))
    again = Year(YearOptions(nights=3, keep=kept))
    part = begin_part(kept, again)
    assert (part.night, part.removed, part.findings) == (1, 7, ("odd",))
    assert part.began == {Night.parse("20250301"): moment}
    assert (again.options.first_night, again.deeds, again.stretches) == (
        date(2025, 3, 1),
        year.deeds,
        year.stretches,
    )
    (kept / "home").mkdir()
    with pytest.raises(PartError, match="broken off"):
        begin_part(kept, again)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_year_that_is_broken_off_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = started(home, "--nights", "400")
    wait_for_home(process, home)
    time.sleep(5)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "ended early" in output
    assert list(home.iterdir()) == []
    assert of_home(home) == []
