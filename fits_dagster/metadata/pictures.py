"""How the extensions of a file make one picture: what an instrument declares for its previews."""

from __future__ import annotations

from enum import Enum

__all__ = ["Picture"]


class Picture(Enum):
    """What a preview shows. Where the keywords that it needs are missing, it is the first extension."""

    #: The first extension; of a cube, the mean of its planes.
    FIRST = "first"
    #: Amplifiers at their detector sections, trimmed, bias taken off, times the gain; chips a gap apart.
    AMPLIFIERS = "amplifiers"
    #: Whole arrays at their detector sections, a gap between them.
    ARRAYS = "arrays"
    #: The stack of chopped and nodded frames, with its positions.
    CHOP_NOD = "chop_nod"
    #: In a bundle of exposures, the second extension.
    BUNDLE = "bundle"
