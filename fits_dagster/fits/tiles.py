"""Images compressed by tiles, which are kept in tables: what their headers say of the image.

Source: FITS standard 4.0, section 10.1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from .cards import CARD_LENGTH
from .hdu import HDU

__all__ = ["fault_of_tiles", "image_hdus", "primary_index"]

#: More bytes than this in one image is a wrecked card, or cannot be held.
LARGEST_IMAGE: Final = 1 << 30
_BITS: Final = frozenset({8, 16, 32, 64, -32, -64})
#: Cards of the table that say nothing of the image.
_OF_THE_TABLE: Final = re.compile(
    r"(SIMPLE|XTENSION|EXTEND|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|THEAP|CHECKSUM|DATASUM"
    r"|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM|BCOL)\d+"
    r"|Z(IMAGE|CMPTYPE|TILE\d+|NAME\d+|VAL\d+|MASKCMP|QUANTIZ|DITHER0|BLANK|SCALE|ZERO))\s*"
)
#: Keyword in the table to keyword of the image.
_RENAMED: Final = re.compile(r"Z(BITPIX|NAXIS\d*|TENSION|SIMPLE|EXTEND|BLOCKED|PCOUNT|GCOUNT)\s*")
#: Sums of the image before it was compressed, which nobody needs of its header alone.
_SUMS: Final = frozenset({"ZHECKSUM", "ZDATASUM"})
#: Name that a table gets if its image has none.
_GIVEN_NAME: Final = "'COMPRESSED_IMAGE'"
#: Cards that every primary header has, and those that packing adds.
_BARE: Final = re.compile(
    r"(SIMPLE|BITPIX|NAXIS|EXTEND|CHECKSUM|DATASUM|COMMENT|HISTORY|ORIGIN|DATE|FZ[A-Z]+|NEXTEND|) *"
)


def image_hdus(hdus: Sequence[HDU]) -> list[HDU]:
    """Return the HDUs that a file had before its images were compressed.

    Parameters
    ----------
    hdus : sequence of HDU
        As they are in the file.

    Returns
    -------
    list of HDU
        Of each compressed image a header of the image, with the place of the table. A primary image that
        was compressed is the primary again, and the bare header before it is left out.
    """
    if not any(hdu.is_compressed_image for hdu in hdus):
        return list(hdus)
    first = primary_index(hdus)
    return [_image_of(hdu) if hdu.is_compressed_image else hdu for hdu in hdus[first:]]


def primary_index(hdus: Sequence[HDU]) -> int:
    """Return the number of the HDU with the primary header: 1 where that was compressed, else 0."""
    if len(hdus) < 2 or not hdus[1].is_compressed_image or hdus[0].has_pixels:
        return 0
    bare = all(_BARE.fullmatch(line[:8].ljust(8)) for line in hdus[0].lines)
    return 1 if bare and ("ZSIMPLE" in hdus[1].cards or len(hdus) == 2) else 0


def fault_of_tiles(hdu: HDU) -> str | None:
    """Tell what in the header of a compressed image cannot be, before any memory is asked for."""
    cards = hdu.cards
    axes, bits = hdu.shape[::-1], hdu.bitpix
    if bits not in _BITS or not axes:
        return f"ZBITPIX is {bits}, the axes are {axes}"
    size = math.prod(axes) * abs(bits) // 8
    if size > LARGEST_IMAGE:
        return f"it claims an image of {size} bytes"
    tiles = 1
    for number, length in enumerate(axes, 1):
        side = cards.get(f"ZTILE{number}", length if number == 1 else 1)
        if not isinstance(side, int) or isinstance(side, bool) or side < 1:
            return f"ZTILE{number} is {side!r}"
        tiles *= -(-length // side)
    rows = cards.get("NAXIS2")
    return None if rows == tiles else f"{rows} rows for {tiles} tiles"


def _image_of(hdu: HDU) -> HDU:
    """Return the header of the image that a table holds."""
    kept, renamed = [], []
    names = set()
    for line in hdu.lines:
        card = line.ljust(CARD_LENGTH)
        keyword = card[:8]
        if keyword.rstrip() in _SUMS or (keyword == "EXTNAME " and _GIVEN_NAME in card):
            continue
        if (found := _RENAMED.fullmatch(keyword)) is not None:
            name = "XTENSION" if found[1] == "TENSION" else found[1]
            names.add(name)
            renamed.append(name.ljust(8) + card[8:])
        elif not _OF_THE_TABLE.fullmatch(keyword):
            kept.append(card)
    if not names & {"SIMPLE", "XTENSION"}:
        renamed.insert(0, "XTENSION= 'IMAGE   '".ljust(CARD_LENGTH))
    first = [card for card in renamed if card.startswith(("SIMPLE", "XTENSION"))]
    text = "".join([*first, *(card for card in renamed if card not in first), *kept])
    return HDU(text, hdu.offset, hdu.data_offset, hdu.data_bytes)
