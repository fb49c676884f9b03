"""Kinds of values in a selection: numbers, limits of numbers, texts.

A reader takes the text behind ``key=`` and returns the value, or raises :class:`BadSelectionError` with words
for the person who wrote it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

__all__ = [
    "BadSelectionError",
    "Limits",
    "exact",
    "read_limits",
    "read_number_or_limits",
    "read_percentile",
    "read_text",
    "read_wavelength",
    "read_whole",
]

#: Micrometres within which a central wavelength may be asked for.
_WAVELENGTHS: Final = (0.2, 30.0)
_NUMBER: Final = r"[+-]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})"
_ONE: Final = re.compile(_NUMBER, re.ASCII)
_TWO: Final = re.compile(f"({_NUMBER})-({_NUMBER})", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,9}", re.ASCII)


class BadSelectionError(ValueError):
    """A value in the selection is not one that its key can have."""


@dataclass(frozen=True)
class Limits:
    """Two numbers, the smaller first; ``is_single`` when one number was given for both."""

    low: float
    high: float
    is_single: bool = False


def exact(number: float) -> Decimal:
    """Return a number as the database keeps them: compared with a float, a column would lose its index."""
    return Decimal(repr(number))


def read_text(text: str) -> str:
    """Take any text."""
    return text


def read_whole(text: str) -> int:
    """Read a whole number that is not negative.

    Raises
    ------
    BadSelectionError
        It is none.
    """
    if not _WHOLE.fullmatch(text):
        raise BadSelectionError(f"{text!r} is no whole number")
    return int(text)


def read_percentile(text: str) -> int:
    """Read a sky condition: 20, 50, 70, 80, 85, 90, or ``Any`` for 100; also as ``IQ70``.

    Raises
    ------
    BadSelectionError
        It is none.
    """
    bare = re.sub(r"^(?:IQ|CC|WV|BG)|-percentile$|%$", "", text, flags=re.IGNORECASE)
    percentile = 100 if bare.lower() == "any" else read_whole(bare)
    if percentile > 100:
        raise BadSelectionError(f"{text!r} is no percentile")
    return percentile


def read_limits(text: str) -> Limits:
    """Read ``a-b``; either may be negative.

    Raises
    ------
    BadSelectionError
        It is no such thing.
    """
    found = _TWO.fullmatch(text)
    if found is None:
        raise BadSelectionError(f"{text!r} is no range of numbers, such as 10-20")
    low, high = sorted(map(float, found.groups()))
    return Limits(low, high)


def read_number_or_limits(text: str) -> Limits:
    """Read one number, or ``a-b``.

    Raises
    ------
    BadSelectionError
        It is neither.
    """
    if _ONE.fullmatch(text):
        return Limits(float(text), float(text), is_single=True)
    return read_limits(text)


def read_wavelength(text: str) -> Limits:
    """Read one wavelength, or two, in micrometres.

    Raises
    ------
    BadSelectionError
        It is none that an instrument could see.
    """
    found = read_number_or_limits(text)
    if not (_WAVELENGTHS[0] < found.low and found.high < _WAVELENGTHS[1]):
        shortest, longest = _WAVELENGTHS
        raise BadSelectionError(f"{text!r} is not between {shortest} and {longest} micrometres")
    return found
