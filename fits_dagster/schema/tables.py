"""Every table: importing this module registers them all on :data:`metadata`."""

from __future__ import annotations

from fits_dagster.ledger import tables as ledger
from fits_dagster.records import accounts, calibrations, instruments, processing_tags, programs
from fits_dagster.records.tables import metadata
from fits_dagster.schema import compatibility

__all__ = [
    "accounts",
    "calibrations",
    "compatibility",
    "instruments",
    "ledger",
    "metadata",
    "processing_tags",
    "programs",
]
