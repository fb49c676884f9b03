"""What died leaves nothing behind for long; what is still written is left alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from fits_dagster.cli import cli
from fits_dagster.intake.uploads import Reception
from fits_dagster.ledger.loop import drain
from fits_dagster.logs import rotate_outputs
from fits_dagster.requeue.rescan import rescan
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.stages import ingest
from fits_dagster.upkeep import leftovers
from fits_dagster.upkeep.leftovers import find_orphans, sweep_leftovers
from fits_dagster_tests.builders.flow import store_of

DAY = 86400.0

_WRITER = """
import os, sys, signal
from pathlib import Path
from fits_dagster.storage.landing import temporary_beside
with temporary_beside(Path(sys.argv[1])).open("xb") as writer:
    writer.write(b"half")
    writer.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_temporary_files_of_a_killed_writer_are_removed_when_nobody_changes_them(
    summit: Site, night: list[Path]
) -> None:
    shutil.copy(night[0], store_of(summit))
    killed = subprocess.run(
        [sys.executable, "-c", _WRITER, str(store_of(summit) / "N20251123S0001.fits")], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    [left] = store_of(summit).glob("*.tmp-*")
    assert sweep_leftovers(summit).temporary == []
    later = time.time() + 2 * 3600
    assert sweep_leftovers(summit, now=later, dry_run=True).temporary == [str(left)]
    assert left.exists()
    assert sweep_leftovers(summit, now=later).temporary == [str(left)]
    assert [path.name for path in store_of(summit).iterdir()] == [night[0].name]


def test_a_file_that_is_being_copied_is_left_alone_however_old_its_source(summit: Site) -> None:
    writing = store_of(summit) / "N20251123S0001.fits.tmp-0123456789ab"
    writing.write_bytes(b"whole, and about to get its name")
    os.utime(writing, (1e9, 1e9))
    assert sweep_leftovers(summit).temporary == []
    assert sweep_leftovers(summit, now=time.time() + 2 * 3600).temporary == [str(writing)]


def test_a_file_that_gets_its_name_meanwhile_is_not_left_over(
    summit: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = store_of(summit) / "N20251123S0001.fits.tmp-0123456789ab"
    writing.write_bytes(b"whole")
    seen = {store_of(summit): leftovers._entries(store_of(summit))}
    writing.rename(store_of(summit) / "N20251123S0001.fits")
    monkeypatch.setattr(leftovers, "_entries", lambda directory: seen.get(directory, []))
    assert sweep_leftovers(summit).temporary == []


def test_uploads_that_were_never_acknowledged_go_and_others_stay(archive: Site) -> None:
    assert archive.settings.staging_directory is not None
    uploads = archive.settings.staging_directory / "uploads"
    reception = Reception(archive, "", "N20251123S0001.fits")
    reception.write(b"all")
    reception.finish()
    cut = Reception(archive, "", "N20251123S0002.fits")
    cut.write(b"half")
    cut._stream.close()
    (uploads / "0123456789-N20251123S0003.fits").write_bytes(b"renamed, and then its receiver died")
    holder = archive.settings.staging_directory / "fetched" / ".tmp-0123"
    holder.mkdir(parents=True)
    (holder / "N20251123S0004.fits").write_bytes(b"fetched")
    report = sweep_leftovers(archive, now=time.time() + 2 * 3600)
    assert (len(report.temporary), report.uploads) == (2, [])
    report = sweep_leftovers(archive, now=time.time() + 2 * DAY)
    assert [Path(name).name for name in report.uploads] == ["0123456789-N20251123S0003.fits"]
    assert list(uploads.iterdir()) == [reception.staged]


def test_unfinished_puts_into_a_bucket_are_ended(archive: Site, with_bucket: Callable[[Site], Site]) -> None:
    site = with_bucket(archive)
    client: Any = site.store.client  # type: ignore[attr-defined]
    client.create_multipart_upload(Bucket=site.settings.s3.bucket, Key="N20251123S0001.fits")
    now = client.list_multipart_uploads(Bucket=site.settings.s3.bucket)["Uploads"][0]["Initiated"].timestamp()
    assert sweep_leftovers(site, now=now + DAY).unfinished == []
    assert sweep_leftovers(site, now=now + 3 * DAY).unfinished == ["N20251123S0001.fits"]
    assert sweep_leftovers(site, now=now + 3 * DAY).unfinished == []


def test_stored_data_that_no_row_knows_are_told(
    summit: Site, night: list[Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(night[0], store_of(summit))
    rescan(summit)
    assert drain(summit, ingest.STAGE).done == 1
    for name in ("N20251123S0900.fits", "notes.txt", "N20251123S0901.fits.tmp-0123"):
        (store_of(summit) / name).write_bytes(b"put there by hand")
    assert find_orphans(summit) == []
    assert find_orphans(summit, now=time.time() + DAY) == ["N20251123S0900.fits"]
    long_ago = time.time() - DAY
    os.utime(store_of(summit) / "N20251123S0900.fits", (long_ago, long_ago))
    monkeypatch.setattr("fits_dagster.cli.upkeep.load_settings", lambda home: settings)
    told = CliRunner().invoke(cli, ["upkeep", "orphans", "--site", "summit"])
    assert (told.exit_code, told.output) == (1, "N20251123S0900.fits\n")
    with summit.engine.begin() as connection:
        connection.execute(text("update diskfile set present = false"))
    assert find_orphans(summit, now=time.time() + DAY) == ["N20251123S0900.fits"]


def test_the_output_of_a_program_is_rotated_while_it_writes(settings: Settings) -> None:
    small = settings.model_copy(update={"log_file_mb": 0.1})
    logs = settings.home / "logs"
    logs.mkdir(parents=True)
    path = logs / "web-summit.log"
    (logs / "short.log").write_text("short")
    with path.open("ab", buffering=0) as output:
        for round_ in (b"1", b"2"):
            output.write(round_ * 2_000_000)
            assert rotate_outputs(small) == [path]
        output.write(b"3")
    assert path.read_bytes() == b"3"
    assert [(logs / f"web-summit.log.{n}").read_bytes()[:1] for n in (1, 2)] == [b"2", b"1"]
    assert rotate_outputs(settings) == []
