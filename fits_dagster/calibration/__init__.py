"""Calibration association: rules as data, an engine that turns them into set-based SQL."""

from __future__ import annotations

from fits_dagster.calibration.caltypes import CALTYPES
from fits_dagster.calibration.engine import associate_headers
from fits_dagster.calibration.index import index_headers

__all__ = ["CALTYPES", "associate_headers", "index_headers"]
