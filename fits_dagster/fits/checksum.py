"""DATASUM and CHECKSUM of HDUs. Source: FITS standard 4.0, section 4.4.2.7 and appendix J."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = [
    "CHECKSUM_BLANK",
    "RangeSum",
    "add_sums",
    "encoded_sum",
    "fits_sum",
    "ones_complement_sum",
]

#: Stands in the place of CHECKSUM while the sum is made.
CHECKSUM_BLANK: Final = "0" * 16
_ALL_ONES: Final = 0xFFFFFFFF
#: ASCII characters between the digits and the letters; the standard wants letters and digits only.
_EXCLUDED: Final = frozenset((*range(0x3A, 0x41), *range(0x5B, 0x61)))
_ZERO: Final = 0x30


def ones_complement_sum(pieces: Iterable[bytes]) -> int:
    """Return the 32-bit ones' complement sum of bytes, as DATASUM holds it.

    Parameters
    ----------
    pieces : iterable of bytes
        In order, cut anywhere; the whole is a multiple of four bytes long.
    """
    import numpy as np

    total, rest = 0, b""
    for piece in pieces:
        data = rest + piece if rest else piece
        whole = len(data) // 4 * 4
        rest = data[whole:]
        words = np.frombuffer(data, ">u4", whole // 4)
        total = add_sums(total, int(words.sum(dtype=np.uint64)))
    return total


class RangeSum:
    """Sum over the bytes from one offset to another, of pieces in order."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self._total, self._rest = 0, b""

    def feed(self, piece: bytes, offset: int) -> None:
        """Take bytes, and where they are in the file."""
        begin, end = max(self._start - offset, 0), min(self._end - offset, len(piece))
        if begin >= end:
            return
        data = self._rest + piece[begin:end]
        whole = len(data) // 4 * 4
        self._rest = data[whole:]
        self._total = add_sums(self._total, ones_complement_sum([data[:whole]]))

    def total(self) -> int:
        """Return the sum; a fill that is missing counts as zeros."""
        return add_sums(self._total, ones_complement_sum([self._rest.ljust(4, b"\0")]))


def fits_sum(total: int) -> bool:
    """Tell whether the sum over an HDU is as its CHECKSUM makes it: all ones, which is zero too."""
    return total in (0, _ALL_ONES)


def add_sums(*sums: int) -> int:
    """Add sums in ones' complement: what runs over is added at the low end."""
    total = sum(sums)
    while total > _ALL_ONES:
        total = (total & _ALL_ONES) + (total >> 32)
    return total


def encoded_sum(total: int) -> str:
    """Return the sixteen characters of CHECKSUM that bring an HDU whose sum is ``total`` to all ones.

    The sum must have been made with `CHECKSUM_BLANK` in the place of these characters.
    """
    complement = _ALL_ONES - total
    encoded = bytearray(16)
    for byte in range(4):
        value = complement >> (24 - 8 * byte) & 0xFF
        quotient, rest = divmod(value, 4)
        parts = [quotient + rest + _ZERO, *[quotient + _ZERO] * 3]
        while any(part in _EXCLUDED for part in parts):
            for pair in (0, 2):
                if parts[pair] in _EXCLUDED or parts[pair + 1] in _EXCLUDED:
                    parts[pair] += 1
                    parts[pair + 1] -= 1
        for position, part in enumerate(parts):
            encoded[4 * position + byte] = part
    # the value begins in column 12 of its card, so the characters are turned by one
    return (encoded[-1:] + encoded[:-1]).decode("ascii")
