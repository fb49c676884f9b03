"""A file that kills its workers is found out, and takes nobody along; a worker that lives kills nobody."""

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
from sqlalchemy import text

from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork, new_lease
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.management import retry_failed
from fits_dagster.records.history import file_history
from fits_dagster.settings import Settings, write_effective
from fits_dagster.sites import Site
from fits_dagster.stages import copy
from fits_dagster.stages.registry import stages_of
from fits_dagster_tests.ledger.killer import KillerStage

#: The newest name first: the killer has neighbours before and behind it.
KILLER = "KILLER20251123S0003.fits"
NEIGHBOURS = [f"N20251123S{n:04d}.fits" for n in (1, 2, 4, 5)]


def add(site: Site, *names: str) -> None:
    with site.engine.begin() as connection:
        work.add_work(connection, [NewWork(stage="ingest", filename=name) for name in names])


def items(site: Site) -> dict[str, Any]:
    with site.engine.connect() as connection:
        found = connection.execute(
            text("select filename, state, deaths, attempts, reason, error, lease_owner from work_item")
        )
        return {row.filename: row for row in found}


def reap(site: Site) -> int:
    """Let all leases run out, as they do when nobody renews them."""
    with site.engine.begin() as connection:
        connection.execute(
            text("update work_item set lease_expires = now() - interval '1 s' where state = 'running'")
        )
        return work.reap(connection)


def worker(settings: Settings, tmp_path: Path) -> subprocess.Popen[bytes]:
    path = tmp_path / "settings.json"
    write_effective(settings, path)
    return subprocess.Popen(
        [sys.executable, "-c", "from fits_dagster_tests.ledger.killer import main; main()", str(path)],
        stdout=subprocess.PIPE,
    )


def test_a_file_that_kills_its_workers_is_failed_and_its_neighbours_are_done(
    summit: Site, settings: Settings, tmp_path: Path
) -> None:
    add(summit, *NEIGHBOURS, KILLER)
    for deaths in (1, 2):
        process = worker(settings, tmp_path)
        assert process.wait(60) == -signal.SIGKILL
        assert reap(summit) >= 1
        left = items(summit)
        assert (left[KILLER].state, left[KILLER].deaths, left[KILLER].attempts) == ("waiting", deaths, deaths)
        assert left[KILLER].reason == "worker_lost"
    process = worker(settings, tmp_path)
    assert process.wait(60) == 0, "the file that kills was not taken in a process of its own"
    assert list(items(summit)) == [KILLER]
    row = items(summit)[KILLER]
    assert (row.state, row.reason) == ("failed", "killed_its_worker")
    assert "2 workers died" in row.error and "SIGKILL" in row.error


def test_after_two_deaths_a_file_is_claimed_alone(summit: Site) -> None:
    add(summit, *NEIGHBOURS, KILLER)
    with summit.engine.begin() as connection:
        connection.execute(
            text("update work_item set deaths = 2 where filename = any(:names)"),
            {"names": [KILLER, NEIGHBOURS[0]]},
        )
        batches = []
        while claimed := work.claim(connection, "ingest", new_lease("test", 60), limit=10):
            batches.append(sorted(item.filename for item in claimed))
    assert sorted(batches) == sorted([[KILLER], [NEIGHBOURS[0]], NEIGHBOURS[1:]])


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("N20251123S0001.fits", None),
        # it was put off: what it has done to workers is still open
        ("LATER20251123S0001.fits", ("waiting", 2, "young")),
        # its worker came through it
        ("AWAY20251123S0001.fits", ("waiting", 0, "network")),
    ],
)
def test_an_innocent_file_that_is_taken_alone_is_done_in_another_process(
    summit: Site, name: str, left: tuple[str, int, str] | None
) -> None:
    add(summit, name)
    with summit.engine.begin() as connection:
        connection.execute(text("update work_item set deaths = 2"))
    drain(summit, KillerStage())
    found = items(summit)
    assert [(row.state, row.deaths, row.reason) for row in found.values()] == ([left] if left else [])
    if left is None:
        with summit.engine.connect() as connection:
            [told] = file_history(connection, name).events
        assert told.detail != str(os.getpid())


def test_the_third_death_fails_a_file_even_when_its_worker_dies_too(summit: Site) -> None:
    add(summit, KILLER)
    for _ in range(3):
        with summit.engine.begin() as connection:
            [item] = work.claim(connection, "ingest", new_lease("here:1", 60), limit=10)
        assert reap(summit) == 1
    row = items(summit)[KILLER]
    assert (row.state, row.deaths, row.attempts, row.reason) == ("failed", 3, 3, "killed_its_worker")
    assert "3 workers died" in row.error and "here:1" in row.error
    with summit.engine.connect() as connection:
        [told] = file_history(connection, KILLER).events
    assert (told.outcome, told.detail.split(":")[0]) == ("failed", "killed_its_worker")
    with summit.engine.begin() as connection:
        assert retry_failed(connection, stage="ingest") == 1
    assert items(summit)[KILLER].deaths == 0
    assert item.is_dangerous


def test_deaths_survive_what_was_added_meanwhile(summit: Site) -> None:
    add(summit, KILLER)
    with summit.engine.begin() as connection:
        work.claim(connection, "ingest", new_lease("test", 60), limit=1)
    add(summit, KILLER)
    reap(summit)
    with summit.engine.connect() as connection:
        assert connection.execute(text("select state, deaths from work_item")).all() == [("waiting", 1)]


def test_a_frozen_worker_that_goes_on_takes_the_deaths_back(
    summit: Site, settings: Settings, tmp_path: Path
) -> None:
    slow = [f"SLOW20251123S{n:04d}.fits" for n in range(4)]
    add(summit, *slow)
    short = settings.model_copy(update={"work": settings.work.model_copy(update={"lease_seconds": 1.0})})
    process = worker(short, tmp_path)
    wait_until(lambda: any(row.state == "running" for row in items(summit).values()))
    try:
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: freed(summit, slow))
        assert {row.deaths for row in items(summit).values()} == {1}
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert process.wait(60) == 0
    left = items(summit)
    assert len(left) == 4
    assert {(row.state, row.deaths) for row in left.values()} == {("waiting", 0)}


def freed(site: Site, names: list[str]) -> bool:
    """Reap; and let nobody else take what was freed, so that only its worker can take the deaths back."""
    with site.engine.begin() as connection:
        work.reap(connection)
        connection.execute(
            text("update work_item set not_before = now() + interval '1 hour' where state = 'waiting'")
        )
    return {name for name, row in items(site).items() if row.state == "waiting"} == set(names)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_a_frozen_worker_has_locked_does_not_hold_the_reaper_up(summit: Site) -> None:
    add(summit, *NEIGHBOURS[:2])
    with summit.engine.begin() as connection:
        work.claim(connection, "ingest", new_lease("test", 60), limit=2)
    with summit.engine.begin() as connection:
        connection.execute(text("update work_item set lease_expires = now() - interval '1 s'"))
    with summit.engine.connect() as frozen:
        frozen.execute(text("select id from work_item order by id limit 1 for update"))
        with summit.engine.begin() as connection:
            assert work.reap(connection) == 1
    with summit.engine.begin() as connection:
        assert work.reap(connection) == 1


def test_a_file_failed_for_a_worker_that_lives_waits_again(summit: Site) -> None:
    add(summit, KILLER)
    with summit.engine.begin() as connection:
        connection.execute(text("update work_item set deaths = 2"))
        lease = new_lease("cut off", 60)
        [item] = work.claim(connection, "ingest", lease, limit=1)
    reap(summit)
    assert items(summit)[KILLER].state == "failed"
    with summit.engine.begin() as connection:
        assert work.forgive(connection, new_lease("another", 60), [item.id]) == set()
        assert work.forgive(connection, lease, [item.id]) == {item.id}
    row = items(summit)[KILLER]
    assert (row.state, row.deaths) == ("waiting", 2)


def test_the_work_of_every_stage_can_be_done_alone(
    connected_summit: Site, archive: Site, night: list[Path]
) -> None:
    assert connected_summit.settings.dhs_directory is not None
    shutil.copy(night[0], connected_summit.settings.dhs_directory)
    copy.scan_dhs(connected_summit)
    drain(connected_summit, copy.STAGE)
    stages = [
        (connected_summit, stage) for stage in stages_of(connected_summit.settings) if stage.name != "edit"
    ]
    for site, stage in [*stages, *((archive, stage) for stage in stages_of(archive.settings))]:
        with site.engine.begin() as connection:
            connection.execute(text("update work_item set deaths = 2, not_before = now()"))
        report = drain(site, stage, linger=1)
        assert (report.done, report.failures) == (1, []), stage.name
        stage.end()
