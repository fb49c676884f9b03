"""The sums of a file's HDUs, made while it is read, against those that its headers state."""

from __future__ import annotations

from .checksum import RangeSum, add_sums, fits_sum
from .hdu import padded
from .problems import Problem, warn
from .walker import Walker

__all__ = ["SumKeeper"]


class SumKeeper:
    """Sums up the data of the HDUs that hold a sum, while the file goes by once."""

    def __init__(self) -> None:
        self._sums: dict[int, RangeSum] = {}
        self._seen = 0
        self._walker: Walker | None = None

    def feed(self, piece: bytes, offset: int, walker: Walker) -> None:
        """Take the next bytes, which the walker has seen."""
        self._walker = walker
        for number in walker.header_sums:
            if number not in self._sums:
                hdu = walker.hdus[number]
                self._sums[number] = RangeSum(hdu.data_offset, hdu.data_offset + padded(hdu.data_bytes))
        for one in self._sums.values():
            one.feed(piece, offset)

    def problems(self) -> list[Problem]:
        """Compare the sums with those in the headers."""
        if self._walker is None:
            return []
        found = []
        for number, header_sum in self._walker.header_sums.items():
            hdu, data_sum = self._walker.hdus[number], self._sums[number].total()
            stated, checksum = (str(hdu.cards.get(key) or "").strip() for key in ("DATASUM", "CHECKSUM"))
            if stated and stated != str(data_sum):
                found.append(warn("datasum", f"DATASUM of HDU {number} does not fit its data"))
            if checksum and not fits_sum(add_sums(data_sum, header_sum)):
                found.append(warn("checksum", f"CHECKSUM of HDU {number} does not fit the HDU"))
        return found
