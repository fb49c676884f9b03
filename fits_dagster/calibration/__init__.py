"""Calibration association: rules as data, an engine that turns them into set-based SQL."""

from __future__ import annotations

from fits_dagster.calibration.associate import associate_headers
from fits_dagster.calibration.match_keys import index_headers
from fits_dagster.calibration.rules import CALTYPES

__all__ = ["CALTYPES", "associate_headers", "index_headers"]
