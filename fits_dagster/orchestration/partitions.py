"""The night partitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from fits_dagster.database.work import UNDATED
from fits_dagster.settings import SiteSettings

__all__ = [
    "NIGHTS",
    "NIGHT_TAG",
    "SITE_TAG",
    "STAGE_TAG",
    "UNIT_TAG",
    "background_unit",
    "everything_unit",
    "is_live",
    "is_partition",
    "nights_of_run",
    "tonight",
]

#: Night labels as in file names. South of UTC the label of tomorrow begins before midnight.
NIGHTS = dg.DailyPartitionsDefinition(start_date="19990101", fmt="%Y%m%d", end_offset=2)

#: Which site a run works for.
SITE_TAG = "fits_dagster/site"
#: Which night a run works for, where it is one.
NIGHT_TAG = "fits_dagster/night"
#: The stage of an op; of a run that works through no queue, what it does: it looks again, or keeps house.
STAGE_TAG = "fits_dagster/stage"
#: What only one run at a time may work on: site and night. Runs that a person asks for have none.
UNIT_TAG = "fits_dagster/unit"

_LIVE_DAYS = 2


def everything_unit(site: str) -> str:
    """Return the unit of the run that takes whatever is due at a site."""
    return f"{site}:everything"


def background_unit(site: str) -> str:
    """Return the unit of the run that takes what is of low priority at a site."""
    return f"{site}:background"


def nights_of_run(context: dg.OpExecutionContext) -> Sequence[str] | None:
    """Return the nights of a run: its partition or range of partitions; None for whatever is due."""
    if context.has_partition_key_range:
        return list(context.partition_keys)
    if context.has_partition_key:
        return [context.partition_key]
    return None


def tonight(site: SiteSettings) -> str:
    """Return the label of the night that is on at a site."""
    return f"{datetime.now(UTC) + timedelta(hours=site.night_hours_ahead):%Y%m%d}"


def is_live(night: str) -> bool:
    """Tell whether files of a night may still be coming."""
    return night >= f"{datetime.now(UTC) - timedelta(days=_LIVE_DAYS):%Y%m%d}"


def is_partition(night: str) -> bool:
    """Tell whether a night label is one of the partitions."""
    return night != UNDATED and NIGHTS.has_partition_key(night)
