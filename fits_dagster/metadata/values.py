"""Reading keyword values the way the archive does: tolerant of text for numbers, blanks as missing."""

from __future__ import annotations

import math
import re
from typing import Final

from fits_dagster.fits.cards import Cards, Value

__all__ = [
    "angle",
    "as_number",
    "as_text",
    "is_true",
    "number",
    "sexagesimal",
    "text",
    "truth",
    "whole",
    "without_id",
]

_SEXAGESIMAL: Final = re.compile(r"([+-]?)(\d{1,3})[: ](\d{1,2})[: ](\d{1,2}(?:\.\d*)?)")
_TRUE_WORDS: Final = frozenset({"t", "true", "yes", "1"})


def as_text(value: Value) -> str | None:
    """Return a keyword value as text with trailing blanks cut; blank text is None."""
    if isinstance(value, str):
        shown = value
    elif value is None:
        return None
    elif isinstance(value, bool):
        return "T" if value else "F"
    else:
        shown = str(value)
    if "\0" in shown:
        shown = shown.replace("\0", "")
    return shown.rstrip() or None


def as_number(value: Value) -> float | int | None:
    """Return a keyword value as a finite number, parsing text that reads as one."""
    if value is None or isinstance(value, (bool, complex)):
        return None
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().lstrip("+-").isdigit() else float(value)
        except ValueError:
            return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def text(cards: Cards, *keys: str) -> str | None:
    """Return the text of the first keyword that has some."""
    for key in keys:
        found = as_text(cards.get(key))
        if found is not None:
            return found
    return None


def number(cards: Cards, *keys: str) -> float | int | None:
    """Return the number of the first keyword that has one."""
    for key in keys:
        found = as_number(cards.get(key))
        if found is not None:
            return found
    return None


def whole(cards: Cards, *keys: str) -> int | None:
    """Return the first of the keywords as a whole number; fractions are None."""
    found = number(cards, *keys)
    return int(found) if found is not None and found == int(found) else None


def is_true(cards: Cards, key: str) -> bool:
    """Tell whether a keyword is the logical value T."""
    return cards.get(key) is True


def truth(value: Value) -> bool:
    """Return the truth value of a keyword that may be logical, a number or a word."""
    if isinstance(value, str):
        return value.strip().lower() in _TRUE_WORDS
    return bool(value)


def sexagesimal(value: str) -> float | None:
    """Return ``[+-]a:b:c`` as a number in the unit of the first part, or None."""
    found = _SEXAGESIMAL.fullmatch(value.strip())
    if not found:
        return None
    minutes, seconds = int(found[3]), float(found[4])
    size = int(found[2]) + minutes / 60 + seconds / 3600
    return -size if found[1] == "-" else size


def angle(value: Value) -> float | None:
    """Return a number, or text ``[+-]D:MM:SS.s`` with blanks anywhere, as degrees."""
    plain = as_number(value)
    if plain is None and isinstance(value, str):
        return sexagesimal(value.replace(" ", ""))
    return None if plain is None else float(plain)


def without_id(name: str) -> str:
    """Return a component's name without its id: what stands before the first ``_G``."""
    return name.split("_G", 1)[0]
