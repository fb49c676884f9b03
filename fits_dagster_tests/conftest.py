"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Directory of real headers and archive records, or skip where it is absent."""
    named = os.environ.get("FITS_DAGSTER_REFERENCE_DATA")
    path = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no reference data (set FITS_DAGSTER_REFERENCE_DATA)")
    return path
