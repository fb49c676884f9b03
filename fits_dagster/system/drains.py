"""Queues worked through by processes of this machine, without Dagster: a rebuild where no worker runs."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing import connection
from multiprocessing.context import ForkProcess
from typing import Any, Final

from fits_dagster.fits.readers import READERS
from fits_dagster.ledger.items import reap
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.ledger.stage import Stage, Subject
from fits_dagster.requeue.rebuild import Progress, progress_of
from fits_dagster.settings import Settings, SiteName
from fits_dagster.sites import Site, opened_site
from fits_dagster.stages.registry import stages_of
from fits_dagster.system.forks import killed, start_fork

__all__ = ["DrainError", "Drains", "Standing", "worked_off"]

#: Files of a stage before it waits for those beside it.
_TURN: Final = 32
#: For a process that was told to end.
_LAST_WORDS_S: Final = 10.0
_LOOK_S: Final = 0.5
#: Before another round, where one has found nothing that it could do.
_PAUSE_S: Final = 2.0


class DrainError(Exception):
    """A process ended by an error of its own, which it has told."""


@dataclass(frozen=True)
class Standing:
    """How far the work at a site's queues is."""

    progress: Progress
    #: A process was killed; what it had in hand is taken up again.
    has_lost: bool = False
    #: Nothing can be done now: some wait to be tried again, or for a lease of so many seconds to end.
    waits_for_s: float | None = None


@dataclass(frozen=True)
class Drains:
    """Processes that work through the queues of a site."""

    processes: Sequence[ForkProcess]

    @property
    def are_at_work(self) -> bool:
        """Whether any of them has not ended yet."""
        return any(process.is_alive() for process in self.processes)

    def wait(self, seconds: float) -> None:
        """Wait for some time, or until one of them has ended."""
        alive = [each.sentinel for each in self.processes if each.is_alive()]
        # where all have ended meanwhile, nothing would wake it
        if alive or not self.processes:
            connection.wait(alive, seconds)

    @property
    def have_failed(self) -> bool:
        """Whether any of them ended by an error; it has told which."""
        return any(process.exitcode is not None and process.exitcode > 0 for process in self.processes)

    @property
    def killed(self) -> Sequence[str]:
        """Owners of the leases of those that were killed."""
        return killed(self.processes)


@contextmanager
def _draining(settings: Settings, site: SiteName, processes: int) -> Iterator[Drains]:
    """Work through all queues of a site in processes, for the time of the context.

    They are forks: no connection to the database may be open in this process when the context begins.
    They end when nothing is due. Those that are still at work when the context ends are told to end, and
    release what they have in hand.

    Parameters
    ----------
    processes
        How many, of one reader of files each.

    Yields
    ------
    Drains
        The processes.
    """
    started = [start_fork(_drain, settings, site) for _ in range(processes)]
    try:
        yield Drains(started)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.join(_LAST_WORDS_S)
            process.kill()
            process.join()


def worked_off(settings: Settings, site: SiteName, processes: int, since: datetime) -> Iterator[Standing]:
    """Work in processes until nothing is left in a site's queues; without any, wait until its workers have.

    The processes of a round end when nothing is due, or when one of them is killed. What is tried again
    later, and what a killed one had in hand, has a round of its own.

    Parameters
    ----------
    since
        Failures from then on count, by the database's clock.

    Yields
    ------
    Standing
        At each look; the last one has nothing left.

    Raises
    ------
    DrainError
        A process ended by an error.
    """
    left = 0
    while True:
        before = left
        with _draining(settings, site, processes) as drains, opened_site(settings, site) as opened:
            while True:
                # in this order: what they end with is seen
                dead, at_work = drains.killed, drains.are_at_work
                if processes:
                    with opened.engine.begin() as connection:
                        reap(connection, dead)
                found = progress_of(opened, since)
                left = found.left
                yield Standing(found, has_lost=bool(dead))
                if not left and not at_work:
                    return
                if dead or (processes and not at_work):
                    break
                drains.wait(_LOOK_S)
            if drains.have_failed and not dead:
                raise DrainError(f"a process ended by an error, {left} items are left")
        if left == before:
            yield Standing(found, waits_for_s=opened.work.lease_seconds)
            time.sleep(_PAUSE_S)


def _drain(settings: Settings, name: SiteName) -> None:
    if sys.platform == "linux":
        # nobody waits for an answer: it and its reader have long turns on the processor, and a warm cache
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with opened_site(settings, name) as opened:
        # two threads for a stage, but one reader for all: it reads while what came of other files is written
        work = opened.work.model_copy(update={"workers": 2})
        site = replace(opened, work=work, store=opened.store.for_one_pass())
        READERS.share(1)
        stages = stages_of(site.settings)
        reading = [stage for stage in stages if stage.subject is not Subject.HEADER]
        others = [stage for stage in stages if stage.subject is Subject.HEADER]
        ends = threading.Event()

        def turn(stage: Stage[Any]) -> int:
            return _turn(site, stage, ends)

        try:
            # side by side, by turns: what follows from an ingest finds the file still in memory. Associations
            # come last: each is then done once
            with ThreadPoolExecutor(len(reading), thread_name_prefix="turn") as pool:
                try:
                    while sum(pool.map(turn, reading)) or sum(map(turn, others)):
                        pass
                finally:
                    ends.set()
        finally:
            for stage in stages:
                stage.end()


def _turn(site: Site, stage: Stage[Any], ends: threading.Event) -> int:
    """Work at one stage until nothing is due, or for some files; returns how many there were."""
    enough = False

    def look(report: DrainReport) -> None:
        nonlocal enough
        enough = report.done >= _TURN

    report = drain(site, stage, stop=lambda: enough or ends.is_set(), on_round=look)
    return report.done + len(report.failures) + len(report.retrying)
