"""FITS files made on the fly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

BLOCK = 2880
Card = tuple[str, str]

PRIMARY: tuple[Card, ...] = (("SIMPLE", "T"), ("BITPIX", "16"), ("NAXIS", "0"))


def image(width: int = 100, height: int = 50, name: str = "SCI") -> tuple[Card, ...]:
    """Cards of an image extension of 16-bit pixels."""
    return (
        ("XTENSION", "'IMAGE   '"),
        ("BITPIX", "16"),
        ("NAXIS", "2"),
        ("NAXIS1", str(width)),
        ("NAXIS2", str(height)),
        ("PCOUNT", "0"),
        ("GCOUNT", "1"),
        ("EXTNAME", f"'{name}'"),
    )


def header_bytes(cards: Sequence[Card]) -> bytes:
    """A header of these cards, END and blanks to whole blocks."""
    text = "".join(f"{key:8}= {value:>20}".ljust(80) for key, value in cards) + "END".ljust(80)
    return text.ljust(-(-len(text) // BLOCK) * BLOCK).encode()


def fits_bytes(*hdus: tuple[Sequence[Card], bytes]) -> bytes:
    """A FITS file of headers and data; data are padded with zeros."""
    return b"".join(header_bytes(cards) + data + bytes(-len(data) % BLOCK) for cards, data in hdus)


@pytest.fixture(scope="session")
def build() -> SimpleNamespace:
    """The functions of this module, for tests."""
    return SimpleNamespace(
        BLOCK=BLOCK, PRIMARY=PRIMARY, image=image, header_bytes=header_bytes, fits_bytes=fits_bytes
    )


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
