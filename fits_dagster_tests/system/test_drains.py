"""Processes of this machine that work through the queues."""

from __future__ import annotations

import pytest

from fits_dagster.system.drains import Drains
from fits_dagster.system.forks import start_fork


@pytest.mark.timeout(30)
def test_processes_that_have_ended_are_waited_for_no_longer() -> None:
    process = start_fork(int)
    process.join()
    Drains([process]).wait(3600)
