"""Disks that are full or can only be read, a mount that hangs, a server without a connection to spare.

Nothing is acknowledged that is not durable, the rest goes on, and everything arrives in the end.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import requests

from fits_dagster.database.server import dagster_url
from fits_dagster.settings import load_settings
from fits_dagster_tests.builders.mounts import Disk, disk_of, mounted
from fits_dagster_tests.system.conftest import RunningSystem, running_system, wait_until
from fits_dagster_tests.system.stream import arrived, failed_runs, stream

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

_HOME_BYTES = 1_500_000_000
_FULL_S = 20.0


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A file system that holds a whole system: databases, logs, store, staging."""
    with disk_of(tmp_path_factory.mktemp("disk") / "home", _HOME_BYTES) as made:
        yield made


@pytest.fixture(scope="module")
def system(disk: Disk) -> Iterator[RunningSystem]:
    """A system on it, whose DHS directory is elsewhere, as a telescope's is."""
    dhs = disk.directory.parent / "dhs"
    dhs.mkdir()
    (disk.directory / "dhs").symlink_to(dhs)
    with running_system(disk.directory) as running:
        made = running.run("token", "add", "tests", "--scope", "upload")
        assert made.returncode == 0, made.stderr
        disk.directory.with_name("token").write_text(made.stdout.strip())
        yield running


def upload(system: RunningSystem, name: str, source: Path) -> int:
    """Send a file to the archive; returns the status."""
    url = f"{system.urls['archive']}/upload_file/{name}"
    token = {"Authorization": f"Bearer {system.home.with_name('token').read_text()}"}
    return requests.post(url, data=source.read_bytes(), headers=token, timeout=60).status_code


def test_the_disk_of_databases_logs_and_stores_is_full(
    system: RunningSystem, disk: Disk, night: list[Path]
) -> None:
    # a run that cannot write its log is red, and others do its work
    with stream(system, night[:10], "M", interval=2):
        disk.fill()
        try:
            status = upload(system, "N20251123S0999.fits", night[0])
        except requests.RequestException:
            status = 0
        assert status == 0 or status >= 500, "what is not durable is not acknowledged"
        for _ in range(int(_FULL_S)):
            disk.fill()  # what others have given back
            time.sleep(1)
        disk.empty()
    assert "N20251123S0999.fits" not in system.archived()


def test_the_dataflow_directory_can_only_be_read_for_a_while(
    system: RunningSystem, night: list[Path]
) -> None:
    before = failed_runs(system)
    dataflow = load_settings(system.home).summit.store_directory
    assert dataflow is not None
    held = dataflow.parent / "held"
    with ExitStack() as mounts:
        dataflow.rename(held)
        disk = mounts.enter_context(disk_of(dataflow, 400_000_000))
        shutil.copytree(held, dataflow, dirs_exist_ok=True)
        with stream(system, night[:10], "N", interval=2) as flow:
            disk.allow_writing(False)
            known = len(arrived(flow))
            time.sleep(_FULL_S)
            assert len(arrived(flow)) <= known + 3
            disk.allow_writing(True)
        shutil.copytree(dataflow, held, dirs_exist_ok=True)
    dataflow.rmdir()
    held.rename(dataflow)
    assert failed_runs(system) == before


def test_the_mount_of_the_dhs_hangs(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    dhs = (system.home / "dhs").resolve()
    with (
        mounted(dhs, dhs.parent / "served") as mount,
        # written behind the mount, as the telescope does
        stream(system, night[:10], "O", interval=2, into=mount.served),
    ):
        mount.hang()
        time.sleep(_FULL_S)
        name = "N20251124S0777.fits"
        assert upload(system, name, night[0]) == 200
        wait_until(lambda: name in system.archived(), seconds=60, what="the archive goes on")
        mount.answer()
    assert failed_runs(system) == before


def test_no_connection_to_the_database_is_left_for_a_while(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    url = dagster_url(load_settings(system.home)).set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    with stream(system, night[:10], "P", interval=2), ExitStack() as taken:
        deadline = time.monotonic() + _FULL_S
        while time.monotonic() < deadline:
            try:
                taken.enter_context(psycopg.connect(address))
            except psycopg.OperationalError:
                time.sleep(0.2)
    assert failed_runs(system) == before
