"""The Dagster code location of the archive."""

from __future__ import annotations

from fits_dagster.orchestration.definitions import build_definitions

defs = build_definitions("archive")
