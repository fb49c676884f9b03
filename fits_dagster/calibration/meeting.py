"""How an offer and a need meet, in SQL: the slot they share, the rest of the need, and how near they are."""

from __future__ import annotations

from typing import Final

from fits_dagster.records.calibrations import BAND_WIDTHS, need_band
from fits_dagster.records.processing_tags import MOST_PRIORITY

__all__ = [
    "BANDS",
    "HIDDEN",
    "NO_TAG",
    "band_of",
    "fits",
    "need_slot",
    "offer_slot",
    "remoteness",
    "tag_rank_of",
]

#: Of a candidate that is not to be seen. Its offers lie in the index where nobody looks.
HIDDEN: Final = -1
#: Of a candidate whose tag has no row, or that has none: before every candidate with a tag.
NO_TAG: Final = 0

#: More than the distance of a candidate without a time, which is some thirty thousand years.
_STEP: Final = 2**41


def tag_rank_of(processing: str | None, *, priority: int | None, published: bool | None) -> int:
    """Return the tag_rank of a candidate.

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
    """Return the SQL of the distance of an offer from a need, tag_rank included, by their aliases."""
    return f"abs({offer}.secs - {need}.secs) + {offer}.tag_rank"


#: Table of the bands of how far needs reach: number, and width in seconds, null for no limit.
BANDS: Final = "(values (-1, null::bigint), {}, ({}, null)) as band(number, width)".format(
    ", ".join(f"({number}, {width})" for number, width in enumerate(BAND_WIDTHS)), len(BAND_WIDTHS)
)


def band_of(farthest: str) -> str:
    """Return the SQL of the number of a need's band, from the SQL of the distance of the last of its list."""
    return str(need_band(farthest))


# The indexes hold a hash, which keeps them narrow; that the texts are equal is checked besides, joined so
# that no other index looks fit.
_SAME_KEY: Final = "{need}.query || {need}.key = {offer}.query || {offer}.key"


def offer_slot(offer: str, need: str, tag_rank: str) -> str:
    """Return the SQL condition that an offer has the query and key of a need, and a certain tag_rank.

    It is for a walk along the offers. The tag_rank is the seed of the hash: offers of each tag_rank lie
    together, and the index is none the wider.

    Parameters
    ----------
    offer, need
        Aliases of the tables.
    tag_rank
        SQL of the tag_rank.
    """
    return (
        f"hashtextextended({offer}.query || {offer}.key, {offer}.tag_rank) "
        f"= hashtextextended({need}.query || {need}.key, {tag_rank}) and {offer}.tag_rank + 0 = {tag_rank} "
        f"and {_SAME_KEY.format(need=need, offer=offer)}"
    )


def fits(offer: str, need: str) -> str:
    """Return the SQL condition that an offer of the same query and key fulfils the rest of a need.

    Parameters
    ----------
    offer, need
        Aliases of the tables.
    """
    return (
        f"{offer}.wavelength > {need}.least_wavelength and {offer}.wavelength < {need}.most_wavelength "
        f"and ({need}.low is null or {offer}.ut > {need}.low) "
        f"and ({need}.high is null or {offer}.ut < {need}.high) "
        f"and ({need}.any_engineering or {offer}.engineering is false) "
        f"and ({need}.condition is null or {offer}.attributes @@ {need}.condition)"
    )


def need_slot(need: str, offer: str) -> str:
    """Return the SQL condition that a need has the query and key of an offer, for a walk along the needs."""
    return (
        f"hashtextextended({need}.query || {need}.key, 0) "
        f"= hashtextextended({offer}.query || {offer}.key, 0) "
        f"and {_SAME_KEY.format(need=need, offer=offer)}"
    )
