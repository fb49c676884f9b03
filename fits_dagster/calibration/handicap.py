"""Handicaps: how far the processing tag of a candidate puts it back, and whether it is to be seen at all.

A handicap is a distance in seconds that no real distance in time comes up to. What has a higher priority
is thus always nearer than what has a lower one, and one number says how remote a candidate is.
"""

from __future__ import annotations

from typing import Final

from fits_dagster.records.processing_tags import MOST_PRIORITY

__all__ = ["HIDDEN", "NO_TAG", "handicap_of", "remoteness"]

#: Of a candidate that is not to be seen. Its offers lie in the index where nobody looks.
HIDDEN: Final = -1
#: Of a candidate whose tag has no row, or that has none: before every candidate with a tag.
NO_TAG: Final = 0

#: More than the distance of a candidate without a time, which is some thirty thousand years.
_STEP: Final = 2**41


def handicap_of(processing: str | None, *, priority: int | None, published: bool | None) -> int:
    """Return the handicap of a candidate.

    Parameters
    ----------
    processing
        How far it is processed, as its header says.
    priority, published
        Of the row of its tag; None where there is no row.
    """
    if processing != "Raw" and not published:
        return HIDDEN
    return NO_TAG if priority is None else (MOST_PRIORITY + 1 - priority) * _STEP


def remoteness(offer: str, need: str) -> str:
    """Return the SQL of the distance of an offer from a need, handicap included, by their aliases."""
    return f"abs({offer}.secs - {need}.secs) + {offer}.handicap"
