"""The night partitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from fits_dagster.database.work import UNDATED
from fits_dagster.settings import SiteSettings

__all__ = ["NIGHTS", "SITE_TAG", "UNIT_TAG", "is_live", "is_partition", "nights_of_run", "tonight"]

#: Night labels as in file names. South of UTC the label of tomorrow begins before midnight.
NIGHTS = dg.DailyPartitionsDefinition(start_date="19990101", fmt="%Y%m%d", end_offset=2)

#: Which site a run works for.
SITE_TAG = "fits_dagster/site"
#: What only one run at a time may work on: site and night.
UNIT_TAG = "fits_dagster/unit"

_LIVE_DAYS = 2


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
