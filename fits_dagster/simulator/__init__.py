"""Simulated nights: raw files of facility instruments, and files rebuilt from header dumps."""

from __future__ import annotations

from fits_dagster.simulator.frames import PlannedFrame
from fits_dagster.simulator.night import instruments_available, plan_night, simulate_night, tonight
from fits_dagster.simulator.rebuild import rebuild_from_headers
from fits_dagster.simulator.writing import frame_bytes, write_frame, write_slowly

__all__ = [
    "PlannedFrame",
    "frame_bytes",
    "instruments_available",
    "plan_night",
    "rebuild_from_headers",
    "simulate_night",
    "tonight",
    "write_frame",
    "write_slowly",
]
