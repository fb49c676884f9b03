"""Queues worked through by processes of this machine, without Dagster: a rebuild where no worker runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.context import ForkProcess
from typing import Any, Final

from fits_dagster.fits.readers import READERS
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.ledger.stage import Stage, Subject
from fits_dagster.settings import Settings, SiteName
from fits_dagster.sites import Site, opened_site
from fits_dagster.stages.registry import stages_of
from fits_dagster.system.forks import killed, start_fork

__all__ = ["Drains", "draining"]

#: Files of a stage before the next one has its turn.
_TURN: Final = 64
#: For a process that was told to end.
_LAST_WORDS_S: Final = 10.0


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
def draining(settings: Settings, site: SiteName, processes: int) -> Iterator[Drains]:
    """Work through all queues of a site in processes, for the time of the context.

    They are forks: no connection to the database may be open in this process when the context begins.
    They end when nothing is due. Those that are still at work when the context ends are told to end, and
    release what they have in hand.

    Parameters
    ----------
    processes
        How many, of one thread each.

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


def _drain(settings: Settings, name: SiteName) -> None:
    with opened_site(settings, name) as opened:
        # two threads, but one reader: it reads a file while what came of the one before it is written
        site = replace(opened, work=opened.work.model_copy(update={"workers": 2}))
        READERS.share(1)
        stages = stages_of(site.settings)
        reading = [stage for stage in stages if stage.subject is not Subject.HEADER]
        others = [stage for stage in stages if stage.subject is Subject.HEADER]
        try:
            # by turns: what follows from an ingest finds the file still in memory. Associations come last:
            # each is then done once
            while sum(_turn(site, stage) for stage in reading) or sum(_turn(site, stage) for stage in others):
                pass
        finally:
            for stage in stages:
                stage.end()


def _turn(site: Site, stage: Stage[Any]) -> int:
    """Work at one stage until nothing is due, or for some files; returns how many there were."""
    enough = False

    def look(report: DrainReport) -> None:
        nonlocal enough
        enough = report.done >= _TURN

    report = drain(site, stage, stop=lambda: enough, on_round=look)
    return report.done + len(report.failures) + len(report.retrying)
