"""A full disk stops the intake for as long as it lasts, and says so; nothing fails for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from fits_dagster.checks.standing import CheckResult, checks_of
from fits_dagster.intake.room import intake_directory
from fits_dagster.sites import Site
from fits_dagster.storage import DirectoryStore
from fits_dagster_tests.builders.flow import copy_in


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a disk can be mounted by root only")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def on_small_disk(summit: Site, small_disk: Path, night: list[Path]) -> Site:
    """A summit whose store is on the small disk, with two files in its DHS directory."""
    assert summit.settings.dhs_directory is not None
    for source in night[:2]:
        shutil.copy(source, summit.settings.dhs_directory)
    changed = summit.settings.model_copy(update={"store_directory": small_disk, "min_free_bytes": 1_000_000})
    return replace(summit, settings=changed, store=DirectoryStore(small_disk))


def fill(disk: Path, leave: int) -> Path:
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - leave))
    return filler


def items(site: Site) -> list[tuple[str, str, int]]:
    with site.engine.connect() as connection:
        rows = connection.execute(
            text("select state, reason, attempts from work_item where stage = 'copy' order by filename")
        )
        return [tuple(row) for row in rows]


def has_room(site: Site) -> CheckResult:
    [found] = [each for each in checks_of(site.settings) if each.name == "has_room"]
    return found.look(site)


def test_intake_stops_before_the_disk_is_full_and_goes_on_by_itself(
    on_small_disk: Site, small_disk: Path
) -> None:
    filler = fill(small_disk, leave=1_010_000)
    assert copy_in(on_small_disk, rounds=12).done == 0
    # it is no attempt, however often it is looked at
    assert items(on_small_disk) == [("waiting", "disk_full", 0)] * 2
    found = has_room(on_small_disk)
    assert not found.passed and "2 files waiting for room" in found.summary
    filler.unlink()
    assert copy_in(on_small_disk, rounds=3).done == 2
    assert items(on_small_disk) == []
    assert has_room(on_small_disk).passed


def test_a_disk_that_fills_during_the_copy_leaves_nothing_half_and_never_fails_a_file(
    on_small_disk: Site, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filler = fill(small_disk, leave=8192)
    # the room that was there at the last look has gone meanwhile
    monkeypatch.setattr("fits_dagster.stages.copy.require_room", lambda *_: None)
    most = on_small_disk.work.max_attempts
    assert copy_in(on_small_disk, rounds=most + 3).done == 0
    found = items(on_small_disk)
    assert [(state, reason) for state, reason, _ in found] == [("waiting", "disk_full")] * 2
    assert all(attempts > most for _, _, attempts in found)
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
    filler.unlink()
    assert copy_in(on_small_disk, rounds=3).done == 2


def test_each_site_watches_the_disk_that_it_takes_files_into(summit: Site, archive: Site) -> None:
    assert intake_directory(summit) == summit.settings.store_directory
    assert intake_directory(archive) == archive.settings.staging_directory
    assert has_room(summit).passed and has_room(archive).passed
