"""FITS files from cards and bytes."""

from __future__ import annotations

from collections.abc import Sequence

from fits_dagster.fits.cards import Cards

__all__ = ["BLOCK", "PRIMARY", "Card", "cards", "fits_bytes", "header_bytes", "image"]

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


def cards(**values: object) -> Cards:
    """A header of some keywords; an underscore stands for a hyphen."""
    lines = [f"{key.replace('_', '-'):8}= {value!r}" for key, value in values.items()]
    return Cards("".join(line.ljust(80) for line in lines))
