"""What schedules and people do each morning, by the clock of the simulated nights.

The schedules of a running system go by the real clock. Here the same functions are called with the simulated
time: Dagster's runs are kept for so many *nights* as the settings name days, and words like ``fourday`` mean
the last four simulated days.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from benchmarks.year.meters import Meters
from fits_dagster.checks.reconcile import night_reports
from fits_dagster.destinations.base import DestinationDownError
from fits_dagster.nights import Night
from fits_dagster.orchestration.housekeeping import prune_runless_events, prune_runs
from fits_dagster.orchestration.partitions import SITE_TAG
from fits_dagster.requeue.chosen_names import name_matcher
from fits_dagster.requeue.rescan import rescan
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.system.up import System, environment
from fits_dagster.upkeep.leftovers import find_orphans, sweep_leftovers
from fits_dagster.upkeep.pruning import prune_records, vacuum
from fits_dagster.upkeep.removal import RemovalRequest, remove_files
from fits_dagster.upkeep.roll_call import roll_call

__all__ = ["Morning", "opened_instance"]

_WHO: Final = "simulate-year"
_RESCANNED: Final = ("fourday", "twentyday")
_CALLED: Final = 2000
_LEFTOVERS_EVERY: Final = 30


@dataclass
class Morning:
    """The upkeep of both sites."""

    settings: Settings
    sites: Mapping[str, Site]
    instance: dg.DagsterInstance
    meters: Meters
    #: Nights that the summit's disk holds.
    keep_nights: int
    #: When each night began, by the real clock.
    began: dict[Night, datetime] = field(default_factory=dict)
    runs_pruned: int = 0
    removed: int = 0
    #: Files that the upkeep found where none should be, or not where they should be.
    findings: list[str] = field(default_factory=list)

    def do(self, number: int, night: Night) -> None:
        """Do what is done in the morning after a night."""
        summit, archive = self.sites["summit"], self.sites["archive"]
        noon = datetime.combine(night.day, datetime.min.time(), UTC) + timedelta(hours=18)
        with self._timed("rescan"):
            for word in _RESCANNED:
                rescan(summit, matches=name_matcher(word, now=noon))
        with self._timed("prune"):
            self._prune(night)
        with self._timed("vacuum"):
            for site in self.sites.values():
                vacuum(site)
        with self._timed("roll-call"):
            for site in self.sites.values():
                missing = roll_call(site, limit=_CALLED).missing
                self.findings += [f"{site.name}: {key} is not in the store" for key in missing]
        with self._timed("night report"):
            night_reports(summit, [str(night.previous)])
        with self._timed("removal"):
            self._remove(night)
        if number % _LEFTOVERS_EVERY == _LEFTOVERS_EVERY - 1:
            with self._timed("leftovers"):
                for site in (summit, archive):
                    sweep_leftovers(site)
                    self.findings += [f"{site.name}: {key} is known to no row" for key in find_orphans(site)]

    def _prune(self, night: Night) -> None:
        """Delete what is older than so many nights as the settings name days."""
        if older_than := self._real_time(night, self.settings.keep_runs_days):
            for site in self.sites:
                self.runs_pruned += prune_runs(self.instance, older_than, {SITE_TAG: site})
            prune_runless_events(self.instance, older_than)
        if older_than := self._real_time(night, self.settings.keep_events_days):
            for each in self.sites.values():
                prune_records(each, (datetime.now(UTC) - older_than) / timedelta(days=1))

    def _real_time(self, night: Night, days: float) -> datetime | None:
        """Return when the night so many days ago began; None if it was before the first."""
        return self.began.get(Night(night.day - timedelta(days=round(days))))

    def _remove(self, night: Night) -> None:
        """Remove from the summit what the archive has of the night that is old enough."""
        old = Night(night.day - timedelta(days=self.keep_nights))
        if old not in self.began:
            return
        request = RemovalRequest(file_re=str(old))
        try:
            report = remove_files(self.sites["summit"], request, who=_WHO, dry_run=False)
        except DestinationDownError:
            return
        self.removed += len(report.removed)
        for reason, keys in report.kept.items():
            self.findings += [f"summit: {key} is not removed: {reason}" for key in keys]

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.meters.spent(what, time.monotonic() - began)


@contextmanager
def opened_instance(system: System) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance of a system."""
    before = dict(os.environ)
    os.environ.update(environment(system.settings))
    try:
        with dg.DagsterInstance.from_config(str(system.settings.home / "dagster")) as instance:
            yield instance
    finally:
        os.environ.clear()
        os.environ.update(before)
