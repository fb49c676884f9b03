"""Header dumps: the text of headers, one card a line, as archives show and keep it."""

from __future__ import annotations

import re
from typing import Final

from .cards import CARD_LENGTH, Cards
from .hdu import BLOCK, HDU, data_bytes_of, padded

__all__ = ["headers_from_text"]

_CARD: Final = re.compile(r"[A-Z0-9_-]{1,8} *=|HIERARCH |CONTINUE|COMMENT|HISTORY| {8}", re.IGNORECASE)
_BARE_WORD: Final = re.compile(r"[A-Z0-9_-]{1,8}( |$)")
_FIRST_CARDS: Final = ("SIMPLE  =", "XTENSION=")


def headers_from_text(text: str) -> list[HDU]:
    """Make HDUs of a header dump.

    Parameters
    ----------
    text : str
        One card a line, trailing blanks cut. A new HDU begins at each line that begins with
        ``SIMPLE  =`` or ``XTENSION=``; marker lines, END, empty lines and lines that are no cards
        are left out.

    Returns
    -------
    list of HDU
        Offsets are those of a file that is made of these headers and of data of the declared sizes.
    """
    groups: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith(_FIRST_CARDS):
            groups.append([])
        if groups and _is_card(line):
            groups[-1].append(line[:CARD_LENGTH].ljust(CARD_LENGTH))
    hdus = []
    offset = 0
    for group in groups:
        cards = "".join(group)
        data_offset = offset + padded(len(cards) + CARD_LENGTH)
        size = data_bytes_of(Cards(cards)) or 0
        hdus.append(HDU(cards, offset, data_offset, size))
        offset = data_offset + padded(size)
    assert offset % BLOCK == 0
    return hdus


def _is_card(line: str) -> bool:
    if not line.strip() or line.rstrip() == "END" or line.startswith("---"):
        return False
    return bool(_CARD.match(line) or _BARE_WORD.match(line))
