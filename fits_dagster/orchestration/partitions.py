"""The night partitions."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from fits_dagster.database.work import UNDATED

__all__ = [
    "MAX_NIGHTS_PER_RUN",
    "NIGHTS",
    "NIGHTS_TAG",
    "SITE_TAG",
    "UNIT_TAG",
    "is_partition",
    "nights_of_run",
]

#: Night labels as in file names. South of UTC the label of tomorrow begins before midnight.
NIGHTS = dg.DailyPartitionsDefinition(start_date="19990101", fmt="%Y%m%d", end_offset=2)

#: Which site a run works for.
SITE_TAG = "fits_dagster/site"
#: Nights of a run that has more than one, separated by commas.
NIGHTS_TAG = "fits_dagster/nights"
#: What only one run at a time may work on: site and night.
UNIT_TAG = "fits_dagster/unit"

MAX_NIGHTS_PER_RUN = 50


def nights_of_run(context: dg.OpExecutionContext) -> Sequence[str]:
    """Return the nights of a run: its partition, its range of partitions, or the list in its tags."""
    if context.has_partition_key_range:
        return list(context.partition_keys)
    if context.has_partition_key:
        return [context.partition_key]
    listed = context.run.tags.get(NIGHTS_TAG, "")
    return [night for night in listed.split(",") if night]


def is_partition(night: str) -> bool:
    """Tell whether a night label is one of the partitions."""
    return night != UNDATED and NIGHTS.has_partition_key(night)
