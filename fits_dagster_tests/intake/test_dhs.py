"""The DHS directory as hostile ground: one entry never holds another up, and is told once."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from fits_dagster.checks.reconcile import night_reports
from fits_dagster.intake import dhs as arrivals
from fits_dagster.ledger.loop import drain
from fits_dagster.requeue.rescan import rescan
from fits_dagster.sites import Site
from fits_dagster.stages import copy, ingest
from fits_dagster.storage.entries import Entry, entries_of
from fits_dagster_tests.builders.flow import copy_in, dhs_of, store_of

NAME = "N20251123S0001.fits"


def failed(site: Site) -> dict[str, str]:
    with site.engine.connect() as connection:
        rows = connection.execute(text("select filename, reason from work_item where state = 'failed'"))
        return {name: reason for name, reason in rows}


def test_everything_odd_is_refused_once_and_the_good_file_lands(
    summit: Site, night: list[Path], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.fits"
    shutil.copy(night[1], secret)
    directory = dhs_of(summit)
    os.mkfifo(directory / "N20251123S0002.fits")
    (directory / "N20251123S0003.fits").symlink_to("N20251123S0003.fits")
    (directory / "N20251123S0004.fits").symlink_to(secret)
    (directory / "N20251123S0005.fits").symlink_to("gone")
    os.mknod(directory / "N20251123S0006.fits", stat.S_IFSOCK | 0o600)
    (directory / "N20251123S0007.fits").mkdir()
    for name in (b"N20251123S0008\xe9.fits", b"N20251123S0009\n.fits", b"-rf.fits", b".hidden.fits"):
        shutil.copy(night[0], os.fsdecode(bytes(directory) + b"/" + name))
    shutil.copy(night[0], directory / NAME)
    expected = {
        "N20251123S0002.fits": "not_a_file",
        "N20251123S0003.fits": "is_a_link",
        "N20251123S0004.fits": "is_a_link",
        "N20251123S0005.fits": "is_a_link",
        "N20251123S0006.fits": "not_a_file",
        "N20251123S0007.fits": "is_a_directory",
        r"N20251123S0008\xe9.fits": "unsafe_name",
        r"N20251123S0009\x0a.fits": "unsafe_name",
        "-rf.fits": "unsafe_name",
        ".hidden.fits": "unsafe_name",
    }
    report = copy_in(summit)
    assert report.done == 1
    assert [path.name for path in store_of(summit).iterdir()] == [NAME]
    assert {failure.filename: failure.reason for failure in report.failures} == expected
    # told once: a second look queues nothing, and what the kinds hold may change
    (directory / "N20251123S0007.fits" / "more").touch()
    assert copy.scan_dhs(summit) == []
    assert failed(summit) == expected
    [report_of_night] = night_reports(summit, ["20251123"])
    assert r"N20251123S0008\xe9.fits" in {file.name for file in report_of_night.files}


def test_a_name_that_differs_by_case_only_does_not_take_anothers_place(
    summit: Site, night: list[Path]
) -> None:
    shutil.copy(night[0], dhs_of(summit) / NAME)
    copy_in(summit)
    shutil.copy(night[1], dhs_of(summit) / NAME.lower())
    copy_in(summit)
    assert failed(summit) == {NAME.lower(): "name_collision"}
    (dhs_of(summit) / NAME).unlink()
    assert copy_in(summit).done == 1


def test_a_refused_name_is_copied_once_it_is_a_good_file(summit: Site, night: list[Path]) -> None:
    os.mkfifo(dhs_of(summit) / NAME)
    copy_in(summit)
    (dhs_of(summit) / NAME).unlink()
    shutil.copy(night[0], dhs_of(summit) / NAME)
    assert copy_in(summit).done == 1
    assert failed(summit) == {}


def test_links_inside_the_directory_are_followed_where_a_setting_allows_it(
    summit: Site, night: list[Path]
) -> None:
    shutil.copy(night[0], dhs_of(summit) / "really")
    (dhs_of(summit) / NAME).symlink_to("really")
    lenient = replace(summit, settings=summit.settings.model_copy(update={"dhs_links": True}))
    assert copy_in(lenient).done == 1
    assert not (store_of(summit) / NAME).is_symlink()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, "permission_denied"),
        (errno.ESTALE, "disk_unavailable"),
        (errno.EIO, "disk_unavailable"),
    ],
)
def test_a_file_that_cannot_be_opened_is_copied_when_it_can_be(
    summit: Site, night: list[Path], monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    shutil.copy(night[0], dhs_of(summit) / NAME)
    shutil.copy(night[1], dhs_of(summit) / "N20251123S0002.fits")
    with monkeypatch.context() as broken:
        opened = os.open

        def refuse(path: Any, *arguments: Any, **named: Any) -> int:
            if Path(path).name == NAME:
                raise OSError(number, os.strerror(number), path)
            return opened(path, *arguments, **named)

        broken.setattr(os, "open", refuse)
        report = copy_in(summit, rounds=summit.work.max_attempts + 3)
    assert report.done == 1
    assert {failure.reason for failure in report.retrying} == {reason}
    assert failed(summit) == {NAME: reason}
    assert copy.scan_dhs(summit) == []
    with summit.engine.begin() as connection:
        connection.execute(text("update work_item set failed_at = failed_at - interval '2 minutes'"))
    assert copy.scan_dhs(summit) == [NAME]
    assert copy_in(summit).done == 1
    assert failed(summit) == {}


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
def test_an_entry_that_cannot_be_looked_at_is_told_and_the_others_are_copied(
    summit: Site, night: list[Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name, source in zip((NAME, "N20251123S0002.fits"), night, strict=False):
        shutil.copy(source, dhs_of(summit) / name)

    def listed(*arguments: Any, **named: Any) -> Iterator[Entry]:
        for entry in entries_of(*arguments, **named):
            stale = entry.name == NAME
            yield Entry(NAME, error=OSError(number, os.strerror(number))) if stale else entry

    lstat = Path.lstat

    def look(path: Path) -> os.stat_result:
        if path.parent == dhs_of(summit) and path.name == NAME:
            raise OSError(number, os.strerror(number))
        return lstat(path)

    with monkeypatch.context() as stale:
        stale.setattr(arrivals, "entries_of", listed)
        stale.setattr(Path, "lstat", look)
        report = copy_in(summit)
    assert report.done == 1
    assert {(failure.filename, failure.reason) for failure in report.retrying} == {(NAME, "disk_unavailable")}
    assert copy_in(summit).done == 1
    with monkeypatch.context() as stale:
        stale.setattr(arrivals, "entries_of", listed)
        assert copy.scan_dhs(summit) == []  # it has landed: nothing is known to have changed


def test_a_clock_that_is_set_back_does_not_hold_a_file_up(summit: Site, night: list[Path]) -> None:
    shutil.copy(night[0], dhs_of(summit) / NAME)
    copy.scan_dhs(summit)
    drain(summit, copy.STAGE)
    with summit.engine.begin() as connection:
        # what was noted two hours "later"
        connection.execute(
            text("""
            update work_item set not_before = now() + interval '2 hours',
                payload = payload || jsonb_build_object('since', (payload ->> 'since')::float + 7200)
            """)
        )
    done = 0
    for _ in range(4):
        copy.scan_dhs(summit)
        with summit.engine.begin() as connection:
            connection.execute(
                text(
                    "update work_item set not_before = now() "
                    "where stage = 'copy' and not_before < now() + interval '1 minute'"
                )
            )
        done += drain(summit, copy.STAGE).done
    assert done == 1


def test_the_store_is_hostile_ground_too(summit: Site, night: list[Path], tmp_path: Path) -> None:
    secret = tmp_path / "secret.fits"
    shutil.copy(night[1], secret)
    directory = store_of(summit)
    shutil.copy(night[0], directory / NAME)
    shutil.copy(night[0], os.fsdecode(bytes(directory) + b"/N20251123S0008\xe9.fits"))
    (directory / "N20251123S0003.fits").symlink_to("N20251123S0003.fits")
    (directory / "N20251123S0004.fits").symlink_to(secret)
    os.mkfifo(directory / "N20251123S0002.fits")
    assert rescan(summit).names == (NAME, r"N20251123S0008\xe9.fits")
    drain(summit, ingest.STAGE)
    assert failed(summit) == {r"N20251123S0008\xe9.fits": "unsafe_name"}
    assert rescan(summit).names == ()


def test_a_file_beside_its_compressed_twin_makes_one_version(summit: Site, night: list[Path]) -> None:
    import bz2

    plain, twin = store_of(summit) / NAME, store_of(summit) / f"{NAME}.bz2"
    shutil.copy(night[0], plain)
    twin.write_bytes(bz2.compress(night[0].read_bytes()))
    os.utime(plain, (1.7e9, 1.7e9))
    os.utime(twin, (1.6e9, 1.6e9))
    versions = []
    for _ in range(3):
        rescan(summit)
        drain(summit, ingest.STAGE)
        with summit.engine.connect() as connection:
            versions.append(connection.scalar(text("select count(*) from diskfile")))
    assert versions == [1, 1, 1]
    # the one that is changed afterwards is the one that counts
    os.utime(twin, (1.8e9, 1.8e9))
    assert rescan(summit).names == (twin.name,)
    drain(summit, ingest.STAGE)
    assert rescan(summit).names == ()


def test_what_was_copied_through_the_years_is_no_business_of_a_look(summit: Site, night: list[Path]) -> None:
    shutil.copy(night[0], dhs_of(summit) / NAME)
    copy_in(summit)
    with summit.engine.begin() as connection:
        connection.execute(
            text(
                "insert into dhs_file (name, size, mtime_ns, md5, landed_at) "
                "select 'N2015' || n || '.fits', 0, 0, '', now() from generate_series(1, 1000) n"
            )
        )
    asked: list[int] = []

    @event.listens_for(summit.engine, "after_cursor_execute")
    def note(connection: Any, cursor: Any, sql: str, *_: Any) -> None:
        if "from dhs_file" in sql:
            asked.append(cursor.rowcount)

    assert arrivals.scan_dhs(summit) == []
    assert asked == [1]


def test_who_watches_looks_at_what_has_landed_now_and_then(
    summit: Site, night: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, source in enumerate(night[:3], start=1):
        shutil.copy(source, dhs_of(summit) / f"N20251123S000{number}.fits")
    copy_in(summit)
    clock = [1000.0]
    monkeypatch.setattr(arrivals.time, "monotonic", lambda: clock[0])
    asked: list[int] = []

    @event.listens_for(summit.engine, "after_cursor_execute")
    def note(connection: Any, cursor: Any, sql: str, *_: Any) -> None:
        if "from dhs_file" in sql:
            asked.append(cursor.rowcount)

    watch = arrivals.DhsWatch(summit)
    assert (watch.look(), watch.look(), asked) == ([], [], [3])
    # another name that differs by case only, and one that is new: both are seen at once
    shutil.copy(night[3], dhs_of(summit) / "N20251123S0004.fits")
    shutil.copy(night[3], dhs_of(summit) / "n20251123s0001.fits")
    assert sorted(watch.look()) == ["N20251123S0004.fits", "n20251123s0001.fits"]
    assert asked == [3, 0]
    with summit.engine.connect() as connection:
        refused = connection.scalars(text("select filename from work_item where payload ? 'refused'")).all()
    assert refused == ["n20251123s0001.fits"]
    shutil.copy(night[4], dhs_of(summit) / NAME)
    (dhs_of(summit) / "N20251123S0002.fits").unlink()
    assert watch.look() == []
    clock[0] += 6
    assert watch.look() == [NAME], "it was written again"
    assert watch.look() == [], "it is queued"
