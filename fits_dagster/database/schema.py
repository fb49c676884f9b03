"""The whole schema: importing this module registers every table on :data:`metadata`."""

from __future__ import annotations

from fits_dagster.database import accounts, instruments, processing, programs, queues
from fits_dagster.database.tables import metadata

__all__ = ["accounts", "instruments", "metadata", "processing", "programs", "queues"]
