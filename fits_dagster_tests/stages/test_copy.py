"""Copying from the DHS directory: whole files only, in one visible step, each version once."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from fits_dagster.sites import Site
from fits_dagster.stages import copy
from fits_dagster_tests.builders.flow import copy_in, dhs_of, store_of

NAME = "N20251123S0001.fits"


def queued(site: Site, stage: str) -> list[str]:
    with site.engine.connect() as connection:
        return list(
            connection.scalars(
                text("select filename from work_item where stage = :s and state = 'waiting' order by 1"),
                {"s": stage},
            )
        )


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        (NAME, False),
        (".snapshot", True),
        (".vtoc_internal", True),
        ("N20251123S0001.fits.temp", True),  # does not end in .fits
        ("N20251123S0001.fits.bz2", True),
        ("tmpN20251123S0001.fits", True),  # tmp anywhere
        ("notes.txt", True),
    ],
)
def test_names_that_are_passed_over(name: str, ignored: bool) -> None:
    assert copy.is_ignored(name) is ignored


def test_a_whole_file_lands_unaltered_and_its_ingest_is_queued(summit: Site, night: list[Path]) -> None:
    shutil.copy(night[0], dhs_of(summit) / night[0].name)
    report = copy_in(summit)
    assert report.done == 1
    assert (store_of(summit) / night[0].name).read_bytes() == night[0].read_bytes()
    assert queued(summit, "ingest") == [night[0].name]
    with summit.engine.connect() as connection:
        md5 = connection.scalar(text("select md5 from dhs_file"))
    assert md5 == hashlib.md5(night[0].read_bytes()).hexdigest()


def test_nothing_is_copied_or_queued_twice(summit: Site, night: list[Path]) -> None:
    shutil.copy(night[0], dhs_of(summit) / night[0].name)
    copy_in(summit)
    before = (store_of(summit) / night[0].name).stat()
    assert copy.scan_dhs(summit) == []
    assert copy_in(summit).done == 0
    assert (store_of(summit) / night[0].name).stat().st_mtime_ns == before.st_mtime_ns


def test_a_growing_file_waits_and_no_part_of_it_is_visible(summit: Site, night: list[Path]) -> None:
    from dataclasses import replace

    patient = replace(summit, settings=summit.settings.model_copy(update={"dhs_give_up_seconds": 600.0}))
    content = night[0].read_bytes()
    target = dhs_of(patient) / night[0].name
    target.write_bytes(content[:100_000])
    assert copy_in(patient).done == 0
    assert list(store_of(patient).iterdir()) == []
    with patient.engine.connect() as connection:
        reason, error = connection.execute(text("select reason, error from work_item")).one()
    assert reason == "incomplete"
    assert night[0].name in error
    target.write_bytes(content)
    assert copy_in(patient).done == 1
    assert (store_of(patient) / night[0].name).read_bytes() == content


@pytest.mark.parametrize(
    ("unwritten", "reason_in_the_end"),
    [
        (lambda whole: bytes(len(whole)), "truncated"),  # nothing but room
        (lambda whole: whole[:5000] + bytes(len(whole) - 5000), "missing_end"),  # within the header
        (lambda whole: whole[:100_000] + bytes(len(whole) - 100_000), None),  # within the pixels
        (lambda whole: whole + bytes(28_800), None),  # room for one extension more
        (lambda whole: whole[:-1], None),  # the last fill
    ],
)
def test_room_that_is_not_filled_yet_is_waited_for(
    summit: Site, night: list[Path], unwritten: Callable[[bytes], bytes], reason_in_the_end: str | None
) -> None:
    from dataclasses import replace

    patient = replace(summit, settings=summit.settings.model_copy(update={"dhs_give_up_seconds": 600.0}))
    whole = night[0].read_bytes()
    target = dhs_of(summit) / night[0].name
    target.write_bytes(unwritten(whole))
    assert copy_in(patient).done == 0
    assert list(store_of(patient).iterdir()) == []
    with patient.engine.connect() as connection:
        assert connection.scalar(text("select reason from work_item")) == "incomplete"
    # for ever it is not waited for: what has all its bytes is taken, the rest is refused
    report = copy_in(summit)
    assert [failure.reason for failure in report.failures] == [reason_in_the_end][: report.done ^ 1]
    target.write_bytes(whole)
    os.utime(target, ns=(1, 1))
    assert copy_in(patient).done == 1
    assert (store_of(summit) / night[0].name).read_bytes() == whole


def test_a_changed_file_is_copied_again(summit: Site, night: list[Path]) -> None:
    target = dhs_of(summit) / night[0].name
    shutil.copy(night[0], target)
    copy_in(summit)
    changed = bytearray(night[0].read_bytes())
    changed[-2880] ^= 1
    target.write_bytes(changed)
    os.utime(target, ns=(1, 1))
    assert copy_in(summit).done == 1
    assert (store_of(summit) / night[0].name).read_bytes() == bytes(changed)


def test_an_edited_dataflow_file_is_left_alone(summit: Site, night: list[Path]) -> None:
    shutil.copy(night[0], dhs_of(summit) / night[0].name)
    copy_in(summit)
    edited = store_of(summit) / night[0].name
    edited.write_bytes(edited.read_bytes().replace(b"Undefined", b"undefined"))
    content = edited.read_bytes()
    assert copy_in(summit).done == 0
    assert edited.read_bytes() == content


def test_a_copy_that_landed_just_before_a_crash_is_adopted(summit: Site, night: list[Path]) -> None:
    shutil.copy(night[0], dhs_of(summit) / night[0].name)
    landed = store_of(summit) / night[0].name
    shutil.copy(night[0], landed)
    before = landed.stat().st_ino
    copy_in(summit)
    assert landed.stat().st_ino == before
    assert queued(summit, "ingest") == [night[0].name]
    with summit.engine.connect() as connection:
        assert connection.scalar(text("select outcome from event")) == "adopted"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero_bytes"),
        (b"this is a text file, not FITS\n" * 200, "not_fits"),
        ("truncated", "truncated"),
        ("broken card", "bad_header"),
    ],
)
def test_a_bad_file_fails_with_its_reason_and_its_neighbours_go_on(
    summit: Site, night: list[Path], content: bytes | str, reason: str
) -> None:
    if content == "truncated":
        content = night[0].read_bytes()[:-5000]
    elif content == "broken card":
        good = night[0].read_bytes()
        content = good.replace(b"BITPIX  =                   16", b"BITPIX  =                  abc", 1)
        assert content != good
    assert isinstance(content, bytes)
    (dhs_of(summit) / NAME).write_bytes(content)
    shutil.copy(night[1], dhs_of(summit) / "N20251123S0099.fits")
    report = copy_in(summit)
    assert (store_of(summit) / "N20251123S0099.fits").exists()
    assert not (store_of(summit) / NAME).exists()
    [failure] = report.failures
    assert (failure.filename, failure.reason) == (NAME, reason)
    assert NAME in failure.error
    assert "Traceback" in failure.traceback
    # it stays failed, and is looked at again once it has changed
    assert copy.scan_dhs(summit) == []
    shutil.copy(night[0], dhs_of(summit) / NAME)
    assert copy_in(summit).done == 1
    with summit.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from work_item where state = 'failed'")) == 0


def test_a_directory_named_like_a_file_is_told_once_and_holds_nobody_up(
    summit: Site, night: list[Path]
) -> None:
    (dhs_of(summit) / NAME).mkdir()
    shutil.copy(night[0], dhs_of(summit) / night[1].name)
    report = copy_in(summit)
    assert [(f.filename, f.reason) for f in report.failures] == [(NAME, "is_a_directory")]
    assert report.done == 1
    assert copy.scan_dhs(summit) == []


def test_a_file_that_vanishes_is_a_clear_failure(summit: Site, night: list[Path]) -> None:
    shutil.copy(night[0], dhs_of(summit) / NAME)
    copy.scan_dhs(summit)
    (dhs_of(summit) / NAME).unlink()
    report = copy_in(summit)
    assert [(f.filename, f.reason) for f in report.failures] == [(NAME, "file_vanished")]
