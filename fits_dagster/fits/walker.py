"""The walk from HDU to HDU: which bytes are headers, by the arithmetic of the declared sizes.

The walker is fed bytes, by a reader that streams the whole file or by one that jumps from header to
header; the rules are the same. It raises nothing: what is wrong with the file is a finding.
"""

from __future__ import annotations

import re
from typing import Final

from .cards import CARD_LENGTH, Cards
from .checksum import ones_complement_sum
from .hdu import BLOCK, HDU, axes_of, data_bytes_of, padded
from .problems import Problem, refuse, warn

__all__ = ["Walker"]

#: More header than this without an END card is not a header (real ones stay below 1 MB).
MAX_HEADER_BYTES: Final = 16 << 20
#: More data than this in one HDU (1 TiB) is not data but a wrecked card.
MAX_DATA_BYTES: Final = 1 << 40
VALID_BITPIX: Final = frozenset({8, 16, 32, 64, -32, -64})

_SIMPLE: Final = b"SIMPLE  ="
_XTENSION: Final = b"XTENSION="
#: First bytes of files that may hold a FITS file in compressed form.
_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_END: Final = b"END"
_BARE_END: Final = b"END     "
#: What stands after END and is no fill, but was meant for a card.
_TEXT_CARD: Final = re.compile(rb"[A-Z0-9_-]{1,8} *(=[ -~]*|[ -~]*)", re.DOTALL)


class Walker:
    """Collects the headers of a file from the bytes that it is fed in ascending order.

    Attributes
    ----------
    hdus : list of HDU
        HDUs whose header is complete and readable, so far.
    problems : list of Problem
        Findings so far; `finish` adds those about the end of the file.
    needed : int or None
        Offset of the next byte that the walker wants to see; None when it wants no more.
    expected_end : int
        Size of the file that the headers so far declare, bytes.
    """

    def __init__(self) -> None:
        self.hdus: list[HDU] = []
        self.problems: list[Problem] = []
        self.needed: int | None = 0
        self.expected_end = 0
        self._header_start = 0
        self._header = bytearray()
        self._extra_from: int | None = None
        #: Sums over the headers of the HDUs whose header holds a sum, by number.
        self.header_sums: dict[int, int] = {}
        #: HDUs whose header goes on after its END.
        self.after_end: set[int] = set()
        #: Whether no further byte can bring the END that is missing.
        self.is_endless = False
        #: Whether NUL bytes follow the last HDU: room that the writer has made, perhaps.
        self.is_preallocated = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing has been found for which the file is refused."""
        return not any(problem.severity == "refuse" for problem in self.problems)

    def feed(self, chunk: bytes, offset: int) -> None:
        """Look at bytes of the file.

        Parameters
        ----------
        chunk : bytes
            Bytes; those that are no part of a header are ignored.
        offset : int
            Where they are in the file.
        """
        end = offset + len(chunk)
        while self.needed is not None and offset <= self.needed < end:
            begin = self.needed - offset
            taken = chunk[begin : begin + BLOCK - len(self._header) % BLOCK]
            self._header += taken
            self.needed += len(taken)
            if len(self._header) % BLOCK == 0:
                self._end_of_block()

    def finish(self, size: int) -> None:
        """Add the findings that need the size of the file (uncompressed, bytes)."""
        if size == 0:
            self.problems.append(refuse("zero_bytes", "the file is empty"))
        elif self.needed is not None and not self.hdus and not self._header:
            self.problems.append(refuse("not_fits", "nothing of the file could be read"))
        elif self._header:
            self._unfinished_header(size)
        elif size < self.expected_end:
            self._too_short(size)
        elif self._extra_from is not None and size > self._extra_from:
            extra = size - self._extra_from
            self.problems.append(
                warn("trailing_bytes", f"{extra} bytes follow the last HDU, which ends at {self._extra_from}")
            )
        self.needed = None

    def _end_of_block(self) -> None:
        block_start = len(self._header) - BLOCK
        if block_start == 0 and not self._begins_an_hdu():
            return
        if block_start and self._header.startswith((_SIMPLE, _XTENSION), block_start):
            at = self._header_start + block_start
            self.is_endless = True
            self._stop(
                refuse(
                    "missing_end", f"the next header begins at byte {at}, before an END of {self._place()}"
                )
            )
            return
        end = _end_card(self._header, block_start)
        if end is not None:
            self._end_of_header(end)
        elif len(self._header) >= MAX_HEADER_BYTES:
            self.is_endless = True
            self._stop(refuse("missing_end", f"no END card in {MAX_HEADER_BYTES} bytes of {self._place()}"))

    def _begins_an_hdu(self) -> bool:
        """Check the first block of an HDU; false if there is none and the walk is over."""
        first = bytes(self._header[: len(_SIMPLE)])
        if not self.hdus:
            if first == _SIMPLE:
                return True
            self._stop(_not_fits(first))
            return False
        if first == _XTENSION:
            return True
        self._extra_from = self._header_start
        self.is_preallocated = not self._header.strip(b"\0")
        self._header.clear()
        self.needed = None
        return False

    def _end_of_header(self, end: int) -> None:
        text = self._header[:end].decode("latin-1")
        place = self._place()
        data_offset = self._header_start + len(self._header)
        cards = Cards(text)
        found = _after_end(self._header, end, place)
        if found is not None and found.severity == "warn":
            self.problems.append(found)
            if found.code == "text_after_end":
                self.after_end.add(len(self.hdus))
            found = None
        problem = found or _bad_mandatory_card(cards, place, primary=not self.hdus)
        size = data_bytes_of(cards)
        if problem is None and size is not None and size > MAX_DATA_BYTES:
            problem = refuse("bad_mandatory_card", f"{place} declares {size} bytes of data, which cannot be")
        hdu = HDU(text, self._header_start, data_offset, size or 0)
        hdu.__dict__["cards"] = cards  # the index is made already
        if "DATASUM" in cards or "CHECKSUM" in cards:
            self.header_sums[len(self.hdus)] = ones_complement_sum([bytes(self._header)])
        self.hdus.append(hdu)
        if problem is not None or size is None:
            self._stop(
                problem or refuse("bad_mandatory_card", f"the data size of {place} cannot be computed")
            )
            self.expected_end = data_offset
            return
        self._header.clear()
        self._header_start = self.needed = self._extra_from = self.expected_end = data_offset + padded(size)

    def _stop(self, problem: Problem) -> None:
        self.problems.append(problem)
        self._header.clear()
        self.needed = None

    def _unfinished_header(self, size: int) -> None:
        first = bytes(self._header[: len(_SIMPLE)])
        if not self.hdus and first != _SIMPLE[: len(first)]:
            self._stop(_not_fits(first))
        elif self.hdus and first != _XTENSION[: len(first)]:
            extra = size - self._header_start
            self.is_preallocated = not self._header.strip(b"\0")
            self._stop(
                warn(
                    "trailing_bytes", f"{extra} bytes follow the last HDU, which ends at {self._header_start}"
                )
            )
        elif _end_card(self._header, 0) is not None:
            missing = padded(len(self._header)) - len(self._header)
            self._stop(
                refuse("truncated", f"{missing} bytes missing: the header of {self._place()} is not whole")
            )
        else:
            self._stop(
                refuse("missing_end", f"the file ends at byte {size} inside the header of {self._place()}")
            )

    def _too_short(self, size: int) -> None:
        last = self.hdus[-1]
        missing = self.expected_end - size
        message = (
            f"{missing} bytes missing: HDU {len(self.hdus) - 1} declares data to byte {self.expected_end}"
        )
        message += f", the file has {size}"
        if size >= last.data_offset + last.data_bytes:
            self.problems.append(warn("padding_missing", f"{message} (only padding is missing)"))
        else:
            self.problems.append(refuse("truncated", message))

    def _place(self) -> str:
        return f"HDU {len(self.hdus)} at byte {self._header_start}"


def _not_fits(first: bytes) -> Problem:
    if not first.strip(b"\0"):
        return refuse("truncated", "the file begins with NUL bytes: nothing has been written into it yet")
    kind = next((name for magic, name in _COMPRESSED.items() if first.startswith(magic)), None)
    hint = f" (this is {kind} data)" if kind else ""
    return refuse("not_fits", f"the file begins with {first!r}, not with 'SIMPLE  ='{hint}")


def _end_card(header: bytearray, start: int) -> int | None:
    """Return the position of the END card at or after ``start``, or None."""
    position = header.find(b"END", start)
    while position >= 0:
        if position % CARD_LENGTH == 0:
            card = bytes(header[position : position + CARD_LENGTH])
            if not card[len(_END) : len(_BARE_END)].strip(b" \0"):
                return position
        position = header.find(b"END", position + 1)
    return None


def _after_end(header: bytearray, end: int, place: str) -> Problem | None:
    """Look at what stands between END and the end of its block. Source: FITS standard 4.0, section 3.3.1."""
    fill = bytes(header[end + len(_END) :])
    if not fill.strip(b" "):
        return None
    if not fill.strip(b" \0"):
        return warn("header_fill", f"the fill of the header of {place} is NUL bytes, not blanks")
    value, rest = fill[: CARD_LENGTH - len(_END)], fill[CARD_LENGTH - len(_END) :]
    cards = [rest[i : i + CARD_LENGTH] for i in range(0, len(rest), CARD_LENGTH)]
    texts = [card for card in cards if card.strip(b" ")]
    if (
        all(_TEXT_CARD.fullmatch(text) for text in texts)
        and all(0x20 <= byte < 0x7F for byte in value)
        and not any(text.startswith((_SIMPLE, _XTENSION)) for text in texts)
    ):
        shown = (value if value.strip() else texts[0]).decode().strip()
        return warn("text_after_end", f"text follows the END of {place}: {shown[:60]!r}")
    return refuse(
        "header_not_filled",
        f"the bytes between END and the end of its block in {place} are no blanks: the data begin elsewhere",
    )


def _bad_mandatory_card(cards: Cards, place: str, *, primary: bool) -> Problem | None:
    """Check the cards on which the structure rests. Source: FITS standard 4.0 section 4.4.1."""
    if primary and not isinstance(cards.get("SIMPLE"), bool):
        return _bad(cards, "SIMPLE", place, "it must be T or F")
    if not primary and not (isinstance(cards.get("XTENSION"), str) and cards["XTENSION"]):
        return _bad(cards, "XTENSION", place, "it must name the kind of the extension")
    if cards.get("BITPIX") not in VALID_BITPIX or isinstance(cards.get("BITPIX"), float):
        return _bad(cards, "BITPIX", place, "it must be one of 8, 16, 32, 64, -32, -64")
    if axes_of(cards) is None:
        count = cards.get("NAXIS")
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= 999:
            return _bad(cards, "NAXIS", place, "it must be a whole number from 0 to 999")
        for number in range(1, count + 1):
            length = cards.get(f"NAXIS{number}")
            if not isinstance(length, int) or isinstance(length, bool) or length < 0:
                return _bad(cards, f"NAXIS{number}", place, "it must be a whole number of 0 or more")
    if not primary or cards.get("GROUPS") is True:
        for key in ("PCOUNT", "GCOUNT"):
            value = cards.get(key, 1)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                return _bad(cards, key, place, "it must be a whole number of 0 or more")
    return None


def _bad(cards: Cards, key: str, place: str, rule: str) -> Problem:
    card = cards.card(key)
    found = "is missing" if card is None else f"reads {card.rstrip()!r}"
    return refuse("bad_mandatory_card", f"{key} of {place} {found}; {rule}")
