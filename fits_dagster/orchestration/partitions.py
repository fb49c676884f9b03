"""The night partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import dagster as dg

from fits_dagster.nights import UNDATED, Night
from fits_dagster.settings import WorkSettings

__all__ = [
    "NIGHT_TAG",
    "SITE_TAG",
    "STAGE_TAG",
    "UNIT_TAG",
    "Unit",
    "age_s",
    "is_live",
    "is_partition",
    "nights_from",
    "nights_of_run",
]

#: Which site a run works for.
SITE_TAG = "fits_dagster/site"
#: Which night a run works for, where it is one.
NIGHT_TAG = "fits_dagster/night"
#: The stage of an op; of a run that works through no queue, what it does: it looks again, or keeps house.
STAGE_TAG = "fits_dagster/stage"
#: What only one run at a time may work on (:class:`Unit`). Runs that a person asks for have none.
UNIT_TAG = "fits_dagster/unit"


@dataclass(frozen=True)
class Unit:
    """What one run works on: a stage of a site, for one night, for any, or its background work.

    As text it is the value of :data:`UNIT_TAG`.
    """

    site: str
    stage: str
    #: A night label, ``any`` or ``background``.
    scope: str
    #: Runs that share a backlog are numbered from 1.
    share: int = 1

    ANY = "any"
    BACKGROUND = "background"

    def __str__(self) -> str:
        return ":".join([self.site, self.stage, self.scope, *([str(self.share)] if self.share > 1 else [])])

    @classmethod
    def parse(cls, value: str) -> Unit | None:
        """Return the unit of a tag; None for what is none."""
        site, stage, scope, *share = [*value.split(":"), "", ""][:4]
        return (
            cls(site, stage, scope, int(share[0] or 1))
            if scope and share[0].isdigit() | (not share[0])
            else None
        )


def nights_of_run(context: dg.OpExecutionContext) -> Sequence[str] | None:
    """Return the nights of a run: its partition or range of partitions; None for whatever is due."""
    if context.has_partition_key_range:
        return list(context.partition_keys)
    if context.has_partition_key:
        return [context.partition_key]
    return None


def is_live(night: str) -> bool:
    """Tell whether files of a night may still be coming."""
    return night != UNDATED and Night.parse(night).is_live()


@cache
def nights_from(first: str) -> dg.DailyPartitionsDefinition:
    """Return the partitions of all nights from one on: labels as in the names of files."""
    # south of UTC the label of tomorrow begins before midnight
    return dg.DailyPartitionsDefinition(start_date=first, fmt="%Y%m%d", end_offset=2)


def is_partition(work: WorkSettings, night: str) -> bool:
    """Tell whether a night label is one of the partitions."""
    return night != UNDATED and nights_from(work.first_night).has_partition_key(night)


def age_s(moment: datetime) -> float:
    """Return how long ago something was, by Dagster's times, which are UTC whether they say so or not."""
    known = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (datetime.now(UTC) - known).total_seconds())
