"""A directory mirror: a destination that is another disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fits_dagster.checks.reconcile import night_reports
from fits_dagster.destinations.base import DestinationDownError, open_destination
from fits_dagster.fits.names import TEMPORARY_MARK, temporary_name
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.nights import night_label
from fits_dagster.sites import Site
from fits_dagster.stages import copy, export, ingest
from fits_dagster.upkeep.scrub import ScrubRequest, scrub_store
from fits_dagster_tests.conftest import HttpServer


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    directory = tmp_path / "mirror of the dataflow"
    directory.mkdir()
    return directory


@pytest.fixture
def mirrored(summit: Site, mirror: Path) -> Site:
    return replace(
        summit, settings=summit.settings.model_copy(update={"export_destinations": (mirror.as_uri(),)})
    )


@pytest.fixture
def copied(mirrored: Site, night: list[Path]) -> list[Path]:
    """Three files in the database of the summit, and still in its DHS directory."""
    assert mirrored.settings.dhs_directory is not None
    made = []
    for source in night[:3]:
        made.append(Path(shutil.copy(source, mirrored.settings.dhs_directory)))
        os.utime(made[-1], (time.time() - 3600,) * 2)
    copy.scan_dhs(mirrored)
    drain(mirrored, copy.STAGE, linger=2)
    drain(mirrored, ingest.STAGE)
    return made


def test_files_reach_the_mirror_as_they_are(mirrored: Site, mirror: Path, copied: list[Path]) -> None:
    assert drain(mirrored, export.STAGE).outcomes == {"exported": 3}
    assert {path.name: path.read_bytes() for path in mirror.iterdir()} == {
        path.name: path.read_bytes() for path in copied
    }
    again(mirrored, copied)
    assert drain(mirrored, export.STAGE).outcomes == {"already_there": 3}


def test_a_copy_that_was_broken_off_goes_on_where_it_ended(
    mirrored: Site, mirror: Path, copied: list[Path]
) -> None:
    whole = copied[0].read_bytes()
    partial = mirror / temporary_name(copied[0].name, hashlib.md5(whole).hexdigest())
    partial.write_bytes(whole[: len(whole) // 2])
    inode = partial.stat().st_ino
    assert drain(mirrored, export.STAGE).outcomes == {"exported": 3}
    there = mirror / copied[0].name
    assert there.read_bytes() == whole
    assert there.stat().st_ino == inode
    assert not [path for path in mirror.iterdir() if TEMPORARY_MARK in path.name]


def test_a_beginning_that_is_no_beginning_of_the_file_is_not_kept(
    mirrored: Site, mirror: Path, copied: list[Path]
) -> None:
    whole = copied[0].read_bytes()
    (mirror / temporary_name(copied[0].name, hashlib.md5(whole).hexdigest())).write_bytes(b"rubbish" * 100)
    assert drain(mirrored, export.STAGE).outcomes == {"exported": 3}
    assert (mirror / copied[0].name).read_bytes() == whole


def test_what_reads_back_otherwise_is_no_success(
    mirrored: Site, mirror: Path, copied: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fits_dagster.destinations import directory

    monkeypatch.setattr(directory, "md5_of", lambda path: "0" * 32)
    report = drain(mirrored, export.STAGE)
    assert {failure.reason for failure in report.retrying} == {"verification_mismatch"}
    assert not list(mirror.iterdir())


def test_a_disk_that_is_not_mounted_is_a_destination_that_is_down(
    mirrored: Site, mirror: Path, copied: list[Path]
) -> None:
    mirror.rmdir()
    report = drain(mirrored, export.STAGE)
    assert not report.failures
    assert {failure.reason for failure in report.retrying} == {"destination_down"}
    assert not mirror.exists()
    mirror.mkdir()
    with mirrored.engine.begin() as connection:
        connection.exec_driver_sql("update destination set retry_at = null")
        connection.exec_driver_sql("update work_item set not_before = now()")
    assert drain(replace(mirrored), export.ExportStage()).outcomes == {"exported": 3}


def test_a_mirror_that_is_away_does_not_hinder_the_archive(
    mirrored: Site, mirror: Path, archive_http: HttpServer, copied: list[Path]
) -> None:
    both = (mirror.as_uri(), archive_http.url)
    site = replace(mirrored, settings=mirrored.settings.model_copy(update={"export_destinations": both}))
    again(site, copied, destinations=(archive_http.url,))
    mirror.rmdir()
    report = drain(site, export.ExportStage())
    assert report.outcomes == {"exported": 3}
    assert {failure.reason for failure in report.retrying} == {"destination_down"}


def test_reconciliation_sees_what_the_mirror_lacks_or_has_otherwise(
    mirrored: Site, mirror: Path, copied: list[Path]
) -> None:
    drain(mirrored, export.STAGE)
    (mirror / copied[0].name).unlink()
    (mirror / copied[1].name).write_bytes(b"something else")
    [report] = night_reports(mirrored, [night_label(copied[0].name)])
    found = {entry.name: entry.state for entry in report.files}
    assert found[copied[0].name] == "not_at_destination"
    assert found[copied[1].name] == "different_there"
    assert found[copied[2].name] == "complete"


def test_a_bad_file_is_restored_from_the_mirror(mirrored: Site, mirror: Path, copied: list[Path]) -> None:
    drain(mirrored, export.STAGE)
    whole = copied[0].read_bytes()
    copied[0].unlink()
    stored = Path(str(mirrored.settings.store_directory)) / copied[0].name
    status = stored.stat()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(stored, ns=(status.st_atime_ns, status.st_mtime_ns))
    site = replace(mirrored, settings=mirrored.settings.model_copy(update={"replicas": ()}))
    assert scrub_store(site, ScrubRequest(), who="anna").restored == 1
    assert stored.read_bytes() == whole


def test_an_address_of_no_kind_is_refused_with_the_kinds_there_are(summit: Site) -> None:
    with pytest.raises(ValueError, match=r"ftp://there.*file://, http://, https://"):
        open_destination("ftp://there", summit.settings)


def test_the_check_of_a_mirror_names_the_directory(summit: Site, tmp_path: Path) -> None:
    with pytest.raises(DestinationDownError, match="is its disk mounted"):
        open_destination((tmp_path / "nowhere").as_uri(), summit.settings).check()


def test_a_system_does_not_start_with_a_destination_of_no_kind(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[summit]\nexport_destinations = ["archive.example.org"]\n')
    command = [sys.executable, "-m", "fits_dagster", "up", "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert (
        "summit.export_destinations: the destination 'archive.example.org' is of no known kind" in done.stderr
    )


def again(site: Site, files: list[Path], destinations: tuple[str, ...] = ()) -> None:
    with site.engine.begin() as connection:
        add_work(
            connection,
            [
                NewWork(stage="export", filename=path.name, destination=url)
                for path in files
                for url in destinations or site.settings.export_destinations
            ],
        )
