"""FITS files made on the fly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from fits_dagster_tests.builders import headers
from fits_dagster_tests.builders.headers import PRIMARY, fits_bytes, image


@pytest.fixture(scope="session")
def build() -> ModuleType:
    """What makes files."""
    return headers


@pytest.fixture
def whole_file() -> bytes:
    """A primary header and two images of 100 x 50 pixels."""
    return fits_bytes((PRIMARY, b""), (image(), bytes(10_000)), (image(), b"\1" * 10_000))


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes bytes to a file and returns its path."""

    def save(content: bytes, name: str = "N20240101S0001.fits") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return save
