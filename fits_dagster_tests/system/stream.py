"""A stream of files into a running system, and what must be true of it whatever was killed meanwhile."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import psutil
import requests
from sqlalchemy import create_engine, text

from fits_dagster.database.server import dagster_url
from fits_dagster.orchestration.presence import held_runs
from fits_dagster.settings import load_settings
from fits_dagster_tests.system.conftest import RunningSystem, wait_until

#: No run may be left without a process for longer than this once everything is back, seconds.
RECOVERY_S = 60.0


_LAST = text("select timestamp, event from event_logs where run_id = :id order by id desc limit 8")


@dataclass
class Stream:
    """Copies files of tonight into the DHS directory, one after the other, until it is stopped."""

    system: RunningSystem
    sources: Sequence[Path]
    letter: str
    #: Seconds between two files.
    interval: float
    #: Where the files are put, if not into the DHS directory itself.
    into: Path | None
    expected: dict[str, str] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        label = str(load_settings(self.system.home).summit.night_clock.tonight())
        for number, source in enumerate(cycle(self.sources), 1):
            name = f"N{label}{self.letter}{number:04d}.fits"
            shutil.copy(source, (self.into or self.system.dhs) / name)
            self.expected[name] = hashlib.md5(source.read_bytes()).hexdigest()
            if self._stop.wait(self.interval):
                return

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def stream(
    system: RunningSystem,
    sources: Sequence[Path],
    letter: str,
    *,
    interval: float = 0.5,
    recovery: float = RECOVERY_S,
    into: Path | None = None,
) -> Iterator[Stream]:
    """Let files stream in for as long as the context lasts; the first ones have arrived when it begins.

    Afterwards all must have arrived, once and unaltered, and no run may be left behind.
    """
    flow = Stream(system, sources, letter, interval, into)
    thread = threading.Thread(target=flow.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: len(arrived(flow)) >= 3, seconds=90, what="the first files arrive")
        yield flow
        time.sleep(3)
    finally:
        flow.stop()
        thread.join()
    began = time.monotonic()
    # however busy the machine is: nothing may stand still
    wait_until(
        lambda: arrived(flow) == flow.expected,
        seconds=180,
        what="every file arrives, unaltered",
        progress=lambda: len(arrived(flow)),
    )
    took = time.monotonic() - began
    system.recovered_s = took
    print(f"{len(flow.expected)} files, the last {took:.0f} s after the stream ended")
    try:
        what = "no run is left without a process"
        wait_until(lambda: not runs_without_process(system), seconds=recovery, what=what)
    except AssertionError:
        print(account_of_runs(system, runs_without_process(system)))
        raise
    what = "previews and associations are made"
    wait_until(system.is_quiet, seconds=120, what=what, progress=system.left)
    assert system.errors("summit") == system.errors("archive") == {}
    assert versions(flow) == sorted(flow.expected), "every file has one version"


def arrived(flow: Stream) -> dict[str, str]:
    """MD5 of the stream's files that the archive holds, by name."""
    try:
        held = flow.system.archived()
    except (requests.RequestException, ValueError):
        return {}  # something that it needs is away
    return {name: md5 for name, md5 in held.items() if name in flow.expected}


def versions(flow: Stream) -> list[str]:
    """Names of all versions of the stream's files at the archive, superseded ones included."""
    prefix = next(iter(flow.expected))[:10]
    answer = requests.get(f"{flow.system.urls['archive']}/jsonfilelist/filepre={prefix}", timeout=30)
    return sorted(entry["name"] for entry in answer.json())


def runs(system: RunningSystem, *statuses: str) -> list[str]:
    """Ids of Dagster runs in some states."""
    engine = create_engine(dagster_url(load_settings(system.home)).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect() as connection:
            query = text("select run_id from runs where status = any(:statuses)")
            return list(connection.scalars(query, {"statuses": list(statuses)}))
    finally:
        engine.dispose()


def failed_runs(system: RunningSystem) -> set[str]:
    """Ids of the runs that are marked as failed."""
    return set(runs(system, "FAILURE"))


def runs_without_process(system: RunningSystem) -> list[str]:
    """Runs that Dagster takes for alive, and that are not."""
    url = dagster_url(load_settings(system.home)).render_as_string(hide_password=False)
    found = runs(system, "STARTING", "STARTED", "CANCELING")
    return sorted(set(found) - held_runs(found, url=url))


def account_of_runs(system: RunningSystem, run_ids: Sequence[str]) -> str:
    """What Dagster knows of some runs, and their last events."""
    engine = create_engine(dagster_url(load_settings(system.home)).set(drivername="postgresql+psycopg"))
    lines = []
    try:
        with engine.connect() as connection:
            for run_id in run_ids:
                run = connection.execute(text("select * from runs where run_id = :id"), {"id": run_id}).one()
                lines.append(f"{run._mapping}")
                tags = connection.execute(text("select * from run_tags where run_id = :id"), {"id": run_id})
                lines += [f"  {tag}" for tag in tags]
                lines += [f"  {row}" for row in connection.execute(_LAST, {"id": run_id})]
    finally:
        engine.dispose()
    return "\n".join(lines)


def processes(system: RunningSystem, *words: str) -> list[psutil.Process]:
    """Processes of a system whose command line has all of some words; its PostgreSQL is among them."""
    family = psutil.Process(system.process.pid).children(recursive=True)
    with suppress(OSError, psutil.NoSuchProcess):
        family += [postmaster(system), *postmaster(system).children()]
    found = []
    for process in family:
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if all(word in line for word in words):
            found.append(process)
    return found


def postmaster(system: RunningSystem) -> psutil.Process:
    """The PostgreSQL server of a system."""
    pid = (system.home / "postgresql" / "data" / "postmaster.pid").read_text().split()[0]
    return psutil.Process(int(pid))


def workers(system: RunningSystem) -> tuple[psutil.Process, list[psutil.Process]]:
    """The worker's parent, and its children."""
    found = processes(system, "fits_dagster worker")
    pids = {process.pid for process in found}
    [parent] = [process for process in found if process.ppid() not in pids]
    return parent, [process for process in found if process.pid != parent.pid]
