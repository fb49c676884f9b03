"""Watching files on their way, from the events that the stages write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fits_dagster.fits.names import trimmed
from fits_dagster.ledger.pending import queue_depths
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.ledger.stage import Stage
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site
from fits_dagster.stages.registry import stages_of

__all__ = ["Failure", "Journey", "Watcher"]

_NOT_DONE = ("failed", "retrying")
_OVERLAP = 2000


@dataclass(frozen=True)
class Failure:
    """A file that stands still."""

    site: str
    stage: str
    filename: str
    reason: str
    error: str


@dataclass
class Journey:
    """When a file first passed each step, by (site, stage)."""

    passed: dict[tuple[str, str], datetime] = field(default_factory=dict)
    outcome: dict[tuple[str, str], str] = field(default_factory=dict)


class Watcher:
    """Follows all files through all sites.

    Parameters
    ----------
    origins
        The site at which a file is taken, by its name; it does not come to other such sites. None: all pass
        every site.
    """

    def __init__(self, sites: Mapping[str, Site], origins: Mapping[str, str] | None = None) -> None:
        self.sites = sites
        self.origins = origins or {}
        #: Where files stay.
        self.archive = next(name for name, site in sites.items() if not site.settings.export_destinations)
        #: By (site, stage), in the order in which a file meets them.
        self.steps: Mapping[tuple[str, str], Stage[Any]] = {
            (name, stage.name): stage
            for name, site in sites.items()
            for stage in stages_of(site.settings)
            if stage.is_on_the_way(site)
        }
        self.journeys: dict[str, Journey] = {}
        self.failures: list[Failure] = []
        #: Items of the archive's queues that wait or are in hand.
        self.left = 0
        self._after = dict.fromkeys(sites, 0)

    def look(self) -> None:
        """Read what has happened since the last look."""
        failures: list[Failure] = []
        for name, site in self.sites.items():
            with site.engine.connect() as connection:
                # ids are given before transactions commit: a lower one may become visible after a higher one
                after = self._after[name] - _OVERLAP
                for row in connection.execute(LEDGER["events_since"], {"after": after}):
                    self._after[name] = max(self._after[name], row.id)
                    if row.outcome in _NOT_DONE:
                        continue
                    journey = self.journeys.setdefault(trimmed(row.filename), Journey())
                    journey.passed.setdefault((name, row.stage), row.at)
                    journey.outcome[name, row.stage] = row.outcome
                failures += [Failure(name, *row) for row in connection.execute(LEDGER["failed_items"])]
                if name == self.archive:
                    self.left = sum(each.waiting + each.running for each in queue_depths(connection).values())
        self.failures = failures

    def count(self, step: tuple[str, str], names: Collection[str] | None = None) -> int:
        """Return how many files, or how many of those named, have passed a step."""
        return sum(
            step in journey.passed
            for name, journey in self.journeys.items()
            if names is None or name in names
        )

    def passes(self, name: str, step: tuple[str, str]) -> bool:
        """Tell whether a step is on a file's way."""
        return step[0] not in self.origins.values() or step[0] == self.origins[name]

    def has_arrived(self, name: str) -> bool:
        """Tell whether a file has passed every step of its way."""
        return name in self.journeys and all(
            step in self.journeys[name].passed for step in self.steps if self.passes(name, step)
        )

    def is_settled(self, names: Sequence[str]) -> bool:
        """Tell whether every file has arrived, or stands still for a reason that is known.

        The archive's queues must be empty as well: a calibration that came late has files associated again.
        """
        stuck = {trimmed(failure.filename) for failure in self.failures}
        return not self.left and all(name in stuck or self.has_arrived(name) for name in names)

    def archived(self) -> Mapping[str, tuple[str, int]]:
        """Return MD5 and size of the uncompressed data of every file that the archive holds."""
        with self.sites[self.archive].engine.connect() as connection:
            return {name: (md5, size) for name, md5, size in connection.execute(RECORDS["present_contents"])}

    def associations(self, site: str) -> tuple[int, int]:
        """Return the number of calibration associations of a site, and of headers that have any."""
        with self.sites[site].engine.connect() as connection:
            row = connection.execute(RECORDS["count_associations"]).one()
            return row.associations, row.headers
