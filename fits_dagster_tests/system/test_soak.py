"""A stream of files into a whole system whose processes are killed, frozen and ended at random all the time.

``make soak MINUTES=10``; ``SEED=…`` repeats the choices of an earlier time, as far as processes are alike.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from fits_dagster_tests.system.conftest import RunningSystem, wait_until
from fits_dagster_tests.system.stream import postmaster, processes, stream

MINUTES = float(os.environ.get("SOAK_MINUTES") or 10)
#: Files of one open list of the archive, by which arrivals are counted.
MOST_FILES = 400
#: A code server that was started again counts anew for how long nobody has begun a run, in whole ticks.
RECOVERY_S = 180.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(MINUTES * 60 + 900)]


@dataclass
class Monkey:
    """Does something to a process every few seconds."""

    system: RunningSystem
    choice: random.Random
    deeds: list[str] = field(default_factory=list)
    _frozen: list[tuple[float, psutil.Process]] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self.choice.uniform(3, 15)):
            self.thaw(time.monotonic())
            with suppress(psutil.Error, OSError):
                self.act()
        self.thaw(float("inf"))

    def act(self) -> None:
        # what there is many of is not chosen more often
        kinds: dict[str, list[psutil.Process]] = {}
        for process in processes(self.system):
            kinds.setdefault(kind_of(process), []).append(process)
        kind = self.choice.choice(sorted(kinds))
        victim = self.choice.choice(sorted(kinds[kind], key=lambda each: each.pid))
        number = self.choice.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM))
        if number == signal.SIGTERM and victim.pid == postmaster(self.system).pid:
            # it would wait for its clients to go, which is no death
            number = signal.SIGKILL
        victim.send_signal(number)
        if number == signal.SIGSTOP:
            self._frozen.append((time.monotonic() + self.choice.uniform(1, 30), victim))
        self.deeds.append(f"{time.strftime('%H:%M:%S')} {number.name} {kind} {victim.pid}")
        print(self.deeds[-1])

    def thaw(self, until: float) -> None:
        for due, process in list(self._frozen):
            if due <= until:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)
                self._frozen.remove((due, process))


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


def test_whatever_happens_to_processes_every_file_arrives_once(
    system: RunningSystem, night: list[Path]
) -> None:
    seed = int(os.environ.get("SOAK_SEED") or time.time())
    print(f"SEED={seed} MINUTES={MINUTES:g}")
    monkey, stop = Monkey(system, random.Random(seed)), threading.Event()
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
