"""A rescan finds what is new or changed in the store, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from fits_dagster.ledger.loop import drain
from fits_dagster.requeue.rescan import is_ingestible, rescan
from fits_dagster.sites import Site
from fits_dagster.stages.ingest import STAGE


def store_files(site: Site, sources: list[Path], path: str = "") -> None:
    root = site.store.root / path  # type: ignore[attr-defined]
    root.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copy(source, root / source.name)


def queued(site: Site) -> list[tuple[str, str, bool, bool, int]]:
    with site.engine.connect() as connection:
        rows = connection.execute(
            text(
                "select path, filename, force, force_md5, priority from work_item "
                "where stage = 'ingest' order by filename"
            )
        )
        return [tuple(row) for row in rows]


def test_new_files_are_queued_once_and_ingested_files_never(summit, night):
    store_files(summit, night[:3])
    report = rescan(summit)
    assert (report.seen, report.changed) == (3, 3)
    assert report.names == tuple(sorted(path.name for path in night[:3]))
    assert rescan(summit).changed == 3
    assert len(queued(summit)) == 3
    drain(summit, STAGE)
    again = rescan(summit)
    assert (again.seen, again.changed) == (3, 0)


@pytest.mark.parametrize("what", ["time", "size"])
def test_a_changed_file_is_queued_alone(summit, night, what):
    store_files(summit, night[:3])
    rescan(summit)
    drain(summit, STAGE)
    path = summit.store.path_of(night[1].name)
    before = path.stat()
    if what == "size":
        with path.open("ab") as file:
            file.write(bytes(2880))
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns + (1_000_000 if what == "time" else 0)))
    assert rescan(summit).names == (night[1].name,)


def test_only_one_directory_is_looked_at_and_only_names_that_match(summit, night):
    store_files(summit, night[:2])
    store_files(summit, night[2:5], "20251123")
    report = rescan(summit, "20251123", matches=lambda name: name != night[3].name, priority=-5)
    assert report.names == (night[2].name, night[4].name)
    assert [(path, priority) for path, *_, priority in queued(summit)] == [("20251123", -5)] * 2


def test_known_files_of_a_night_are_left_alone(summit, night):
    store_files(summit, night[:2])
    rescan(summit)
    drain(summit, STAGE)
    store_files(summit, night[2:3])
    report = rescan(summit, matches=lambda name: name in (night[1].name, night[2].name))
    assert (report.seen, report.names) == (2, (night[2].name,))


@pytest.mark.parametrize("flag", ["force", "force_md5"])
def test_force_queues_unchanged_files_too(summit, night, flag):
    store_files(summit, night[:2])
    rescan(summit)
    drain(summit, STAGE)
    assert rescan(summit, **{flag: True}).changed == 2
    assert [(force, md5) for _, _, force, md5, _ in queued(summit)] == [
        (flag == "force", flag == "force_md5")
    ] * 2


def test_an_empty_or_missing_directory_has_nothing_to_queue(summit):
    assert rescan(summit).seen == 0
    assert rescan(summit, "nowhere").changed == 0


@pytest.mark.parametrize(
    ("name", "ingestible"),
    [
        ("N20251123S0001.fits", True),
        ("N20251123S0001.fits.bz2", True),
        ("20251123_GN-2025B-Q-1_obslog.txt", True),
        ("miscfile_notes.pdf", True),
        ("N20251123S0001.fits.tmp-0a1b2c", False),
        ("tmp_N20251123S0001.fits", False),
        ("N20251123S0001_tiled.fits", False),
        ("N20251123S0001.fits_preview.jpg", False),
        ("notes.txt", False),
    ],
)
def test_only_data_files_are_looked_at(name, ingestible):
    assert is_ingestible(name) is ingestible


def test_a_newer_twin_that_does_not_match_keeps_the_older_one_out(summit, night):
    store_files(summit, night[:1])
    plain = summit.store.root / night[0].name
    twin = plain.with_name(f"{plain.name}.bz2")
    twin.write_bytes(b"newer")
    os.utime(plain, (1, 1))
    assert rescan(summit, matches=lambda name: name.endswith(".fits")).seen == 0
    os.utime(twin, (0, 0))
    report = rescan(summit, matches=lambda name: name.endswith(".fits"))
    assert (report.seen, report.names) == (1, (plain.name,))
