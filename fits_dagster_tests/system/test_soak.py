"""A stream of files into a whole system to which something is done at random all the time.

Its processes are killed, frozen and ended, the network between its sites is cut, its disk is full.

``make soak MINUTES=10``; ``SEED=…`` repeats the choices of an earlier time, as far as processes are alike.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from benchmarks.relay import Relay, relay_to
from fits_dagster_tests.builders.mounts import Disk, disk_of
from fits_dagster_tests.system.conftest import RunningSystem, environment, running_system, wait_until
from fits_dagster_tests.system.stream import postmaster, processes, stream

MINUTES = float(os.environ.get("SOAK_MINUTES") or 10)
#: Files of one open list of the archive, by which arrivals are counted.
MOST_FILES = 400
_DISK_BYTES = 3_000_000_000
#: A code server that was started again counts anew for how long nobody has begun a run, in whole ticks.
RECOVERY_S = 180.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(MINUTES * 60 + 900)]


@dataclass
class Monkey:
    """Does something to a process every few seconds."""

    system: RunningSystem
    network: Relay
    disk: Disk
    choice: random.Random
    deeds: list[str] = field(default_factory=list)
    #: What is undone later, and when.
    _lasting: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self.choice.uniform(3, 15)):
            self.undo(time.monotonic())
            with suppress(psutil.Error, OSError):
                self.act()
        self.undo(float("inf"))

    def act(self) -> None:
        # what there is many of is not chosen more often
        kinds: dict[str, list[psutil.Process]] = {"network": [], "disk": []}
        for process in processes(self.system):
            kinds.setdefault(kind_of(process), []).append(process)
        kind = self.choice.choice(sorted(kinds))
        if kind == "network":
            self.network.cut()
            self.last("cut", kind, self.network.mend)
        elif kind == "disk":
            self.disk.fill()
            self.last("fill", kind, self.disk.empty)
        else:
            self.hurt(kind, self.choice.choice(sorted(kinds[kind], key=lambda each: each.pid)))

    def hurt(self, kind: str, victim: psutil.Process) -> None:
        number = self.choice.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM))
        if number == signal.SIGTERM and victim.pid == postmaster(self.system).pid:
            # it would wait for its clients to go, which is no death
            number = signal.SIGKILL
        victim.send_signal(number)
        if number == signal.SIGSTOP:
            self.last(number.name, f"{kind} {victim.pid}", lambda: victim.send_signal(signal.SIGCONT))
        else:
            self.note(f"{number.name} {kind} {victim.pid}")

    def last(self, deed: str, what: str, undo: Callable[[], None]) -> None:
        seconds = self.choice.uniform(1, 30)
        self._lasting.append((time.monotonic() + seconds, undo))
        self.note(f"{deed} {what} for {seconds:.0f} s")

    def note(self, deed: str) -> None:
        self.deeds.append(f"{time.strftime('%H:%M:%S')} {deed}")
        print(self.deeds[-1], flush=True)

    def undo(self, until: float) -> None:
        for due, undo in list(self._lasting):
            if due <= until:
                with suppress(psutil.NoSuchProcess, FileNotFoundError):
                    undo()
                self._lasting.remove((due, undo))


def kind_of(process: psutil.Process) -> str:
    """What a process is, by its command line."""
    line = " ".join(process.cmdline())
    words = ("fits_dagster worker", "fits_dagster.web", "alerts", "dagster", "valkey", "postgres", "guarded")
    return next((word for word in words if word in line), line[:40])


def strangers(system: RunningSystem) -> list[str]:
    """Processes of the system's home that are no descendants of ``up``, nor of its PostgreSQL."""
    known = {system.process.pid, *(process.pid for process in processes(system))}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_ours = process.environ().get("FITS_DAGSTER_HOME") == str(system.home)
            if is_ours and process.pid not in known and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:100]}")
    return found


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """What the system lives on, but for the telescope's directory."""
    with disk_of(tmp_path / "home", _DISK_BYTES) as made:
        (tmp_path / "dhs").mkdir()
        (made.directory / "dhs").symlink_to(tmp_path / "dhs")
        yield made


@pytest.fixture
def network(disk: Disk) -> Iterator[Relay]:
    """The line from the summit to the archive."""
    with relay_to(int(environment(disk.directory)["FITS_DAGSTER_ARCHIVE__PORT"])) as relay:
        yield relay


@pytest.fixture
def system(disk: Disk, network: Relay) -> Iterator[RunningSystem]:
    """A system with such a disk and such a line."""
    destinations = json.dumps([f"http://127.0.0.1:{network.port}"])
    variables = {
        "FITS_DAGSTER_SUMMIT__EXPORT_DESTINATIONS": destinations,
        "FITS_DAGSTER_SUMMIT__EXPORT_COOKIE": "of-the-soak",
        "FITS_DAGSTER_ARCHIVE__UPLOAD_COOKIES": json.dumps(["of-the-soak"]),
    }
    with running_system(disk.directory, **variables) as running:
        yield running


def connections(system: RunningSystem) -> int:
    """Number of processes that serve connections to the system's databases."""
    return len(processes(system, "postgres", "idle"))


def test_whatever_happens_every_file_arrives_once(
    system: RunningSystem, network: Relay, disk: Disk, night: list[Path]
) -> None:
    before = connections(system)
    seed = int(os.environ.get("SOAK_SEED") or time.time())
    print(f"SEED={seed} MINUTES={MINUTES:g}")
    monkey, stop = Monkey(system, network, disk, random.Random(seed)), threading.Event()
    # every file arrives with its MD5, once, nothing is left in a queue, and no run without a process
    interval = max(1.0, MINUTES * 60 / MOST_FILES)
    with stream(system, night[:10], "Z", interval=interval, recovery=RECOVERY_S):
        thread = threading.Thread(target=monkey.run, args=(stop,), daemon=True)
        thread.start()
        stop.wait(MINUTES * 60)
        stop.set()
        thread.join()
    assert monkey.deeds
    print(f"{len(monkey.deeds)} deeds")
    wait_until(lambda: not strangers(system), seconds=60, what="no process is left behind")
    assert system.status()["queues"]
    # runs linger for a while, and idle children of the worker
    wait_until(lambda: connections(system) <= before + 10, seconds=120, what="no connection is leaked")
