"""Rows of the grammar about where the telescope pointed, and at what."""

from __future__ import annotations

from typing import Final

from fits_dagster.records.selection import conditions as where
from fits_dagster.records.selection import sky, values
from fits_dagster.records.selection.terms import Term

__all__ = ["POSITION_KEYS", "SKY_TERMS"]

#: Whoever may not see where a frame points must not learn it by asking, either.
POSITION_KEYS: Final = frozenset({"ra", "dec", "az", "el", "crpa", "object", "twilight"})

SKY_TERMS: Final[tuple[Term, ...]] = (
    Term(
        key="ra",
        help="Right ascension: a number with a radius about it, or a range, which may lead through 0;"
        " degrees, or hours as 12:34:56.",
        names=("ra", "RA"),
        read=sky.read_ra,
        form="angle or a-b",
        where=sky.near_ra,
        examples=("ra=83.6", "ra=05:34:31.9", "ra=350-10"),
    ),
    Term(
        key="dec",
        help="Declination: a number with a radius about it, or a range; degrees, or sexagesimal.",
        names=("dec", "Dec"),
        read=sky.read_dec,
        form="angle or a-b",
        where=sky.near_dec,
        examples=("dec=22.0", "dec=-05:23:28", "dec=-22.3--24.5"),
    ),
    Term(
        key="sr",
        help="Radius about ra and dec, arc seconds, or degrees with d behind; 180 arc seconds without it.",
        names=("sr", "SR"),
        read=sky.read_radius,
        form="number, number d",
        examples=("sr=60", "sr=0.3d"),
    ),
    Term(
        key="az",
        help="Azimuth, degrees, the upper limit excluded.",
        names=("az", "Az", "azimuth", "Azimuth"),
        read=values.read_limits,
        form="a-b",
        where=where.between("azimuth"),
        examples=("az=100-200", "azimuth=-10-10"),
    ),
    Term(
        key="el",
        help="Elevation, degrees, the upper limit excluded.",
        names=("el", "El", "elevation", "Elevation"),
        read=values.read_limits,
        form="a-b",
        where=where.between("elevation"),
        examples=("el=40-60",),
    ),
    Term(
        key="crpa",
        help="Position angle of the Cassegrain rotator, degrees, the upper limit excluded.",
        names=("crpa", "CRPA"),
        read=values.read_limits,
        form="a-b",
        where=where.between("cass_rotator_pa"),
        examples=("crpa=-90-0",),
    ),
    Term(
        key="object",
        help="Name of the target, in any case; * at its beginning or end stands for anything, =slash= for /."
        " Where ra or dec are given the name is left out.",
        names=("object",),
        read=values.read_text,
        form="name",
        where=where.object_like,
        examples=("object=NGC 1234", "object=ngc*"),
    ),
    Term(
        key="twilight",
        help="The twilight sky, or anything else.",
        words={"twilight": True, "nottwilight": False},
        any_case=True,
        where=where.twilight_is,
        examples=("twilight", "NotTwilight"),
    ),
)
