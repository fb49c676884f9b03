"""The whole schema: importing this module registers every table on :data:`metadata`."""

from __future__ import annotations

from fits_dagster.database import accounts, calibrations, instruments, processing, programs, queues
from fits_dagster.database.tables import metadata

__all__ = ["accounts", "calibrations", "instruments", "metadata", "processing", "programs", "queues"]
