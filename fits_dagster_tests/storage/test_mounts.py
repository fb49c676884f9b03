"""A mount that hangs: told in time, by one thread, and heard again when it answers."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fits_dagster.alerts.conditions import disk_alarms
from fits_dagster.intake.dhs import scan_dhs
from fits_dagster.ledger.loop import drain
from fits_dagster.monitoring.disks import disks_of
from fits_dagster.settings import AlertSettings
from fits_dagster.sites import Site
from fits_dagster.stages import copy
from fits_dagster.storage import mounts
from fits_dagster.storage.mounts import SilentMountError, answer_within
from fits_dagster_tests.builders.flow import dhs_of
from fits_dagster_tests.builders.mounts import Mount, mounted


@pytest.fixture
def mount(summit: Site, tmp_path: Path) -> Iterator[Mount]:
    """The DHS directory, as a mount whose server can be stopped."""
    with mounted(dhs_of(summit), tmp_path / "served") as made:
        yield made


def test_a_look_at_a_mount_that_hangs_ends_in_time_and_leaves_one_thread(
    summit: Site, mount: Mount, night: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fits_dagster.intake.dhs.ANSWER_S", 0.3)
    shutil.copy(night[0], mount.served / "N20251123S0001.fits")
    mount.hang()
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(SilentMountError, match=r"has not answered for \d+ s"):
            scan_dhs(summit)
    assert threading.active_count() <= before + 1
    mount.answer()
    deadline = time.monotonic() + 20
    while True:
        try:
            found = scan_dhs(summit)
            break
        except SilentMountError:
            assert time.monotonic() < deadline
    assert found == ["N20251123S0001.fits"]
    assert not mounts._asked


def test_a_run_that_cannot_look_does_what_is_there_and_ends_well(
    summit: Site, mount: Mount, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fits_dagster.intake.dhs.ANSWER_S", 0.3)
    mount.hang()
    report = drain(summit, copy.STAGE)
    assert (report.done, report.failures) == (0, [])
    assert "cannot look for what is new" in caplog.text


def test_what_watches_disks_goes_on(summit: Site, mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fits_dagster.storage.mounts.ANSWER_S", 0.3)
    assert disks_of({"dhs": mount.directory})["dhs"] is not None
    mount.hang()
    assert disks_of({"dhs": mount.directory}) == {"dhs": None}
    [alarm] = disk_alarms(summit, AlertSettings(least_free_gb=0))
    assert alarm.kind == "dhs"
    assert "has not answered" in alarm.message


def test_the_answer_is_the_questions_own_error() -> None:
    def fails() -> None:
        raise FileNotFoundError("no such directory")

    with pytest.raises(FileNotFoundError):
        answer_within(5, Path("/nowhere"), "entries", fails)
