"""Where an offer and a need meet: the conditions that the indexes of their tables serve."""

from __future__ import annotations

from typing import Final

__all__ = ["fits", "need_slot", "offer_slot"]

# The indexes hold a hash, which keeps them narrow; that the texts are equal is checked besides, joined so
# that no other index looks fit.
_SAME_KEY: Final = "{need}.query || {need}.key = {offer}.query || {offer}.key"


def offer_slot(offer: str, need: str, handicap: str) -> str:
    """Return the SQL condition that an offer has the query and key of a need, and a certain handicap.

    It is for a walk along the offers. The handicap is the seed of the hash: offers of each handicap lie
    together, and the index is none the wider.

    Parameters
    ----------
    offer, need
        Aliases of the tables.
    handicap
        SQL of the handicap.
    """
    return (
        f"hashtextextended({offer}.query || {offer}.key, {offer}.handicap) "
        f"= hashtextextended({need}.query || {need}.key, {handicap}) and {offer}.handicap + 0 = {handicap} "
        f"and {_SAME_KEY.format(need=need, offer=offer)}"
    )


def fits(offer: str, need: str, path: str) -> str:
    """Return the SQL condition that an offer of the same query and key fulfils the rest of a need.

    Parameters
    ----------
    offer, need
        Aliases of the tables.
    path
        SQL of the need's condition as a JSON path.
    """
    return (
        f"{offer}.wavelength > {need}.least_wavelength and {offer}.wavelength < {need}.most_wavelength "
        f"and ({need}.low is null or {offer}.ut > {need}.low) "
        f"and ({need}.high is null or {offer}.ut < {need}.high) "
        f"and ({need}.any_engineering or {offer}.engineering is false) "
        f"and ({need}.condition is null or {offer}.attributes @@ {path})"
    )


def need_slot(need: str, offer: str) -> str:
    """Return the SQL condition that a need has the query and key of an offer, for a walk along the needs."""
    return (
        f"hashtextextended({need}.query || {need}.key, 0) "
        f"= hashtextextended({offer}.query || {offer}.key, 0) "
        f"and {_SAME_KEY.format(need=need, offer=offer)}"
    )
