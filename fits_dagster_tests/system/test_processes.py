"""Processes that an earlier start left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from fits_dagster.system.processes import end_processes, processes_with

VARIABLE = "FITS_DAGSTER_TEST_OF_PROCESSES"
SLEEP = "import time; time.sleep(300)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); " + SLEEP
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"


def start(*arguments: str, value: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", *arguments],
        env={**os.environ, VARIABLE: value},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def theirs() -> Iterator[subprocess.Popen[str]]:
    """A process of another home."""
    process = start(SLEEP, value="/other/home")
    yield process
    process.kill()
    process.wait()


def test_what_a_dead_parent_left_is_found_and_ended_and_nothing_else(
    theirs: subprocess.Popen[str],
) -> None:
    home = f"/home/{os.getpid()}"
    parent = start(PARENT, SLEEP, value=home)
    parent.wait(30)
    stubborn = start(STUBBORN, value=home)
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == "1\n"
    left = processes_with(VARIABLE, home)
    assert len(left) == 2
    assert all(process.ppid() != parent.pid for process in left)
    end_processes(left, patience=1.0)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in left)
    assert processes_with(VARIABLE, home) == []
    assert theirs.poll() is None
    stubborn.wait()
