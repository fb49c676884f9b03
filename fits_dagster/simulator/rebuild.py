"""Rebuild FITS files from text dumps of their headers.

A dump has one card a line with its trailing blanks cut, marker lines between the HDUs and perhaps other text.
Cards go into the file as they are, defects included: what a real instrument wrote a reader must stand.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from fits_dagster.simulator.cards import header_block, pad_card, padding

__all__ = ["DataMode", "DumpedHdu", "rebuild_from_headers", "split_dump"]

DataMode = Literal["zeros", "noise", "shrunk"]

#: longest axis of an image in mode "shrunk"
SHORT_AXIS = 64
#: pixels of noise drawn; longer data units repeat them
NOISE_PIXELS = 1 << 20

_HDU_START = re.compile(r"(SIMPLE  =|XTENSION=)")
_CARD = re.compile(r"[A-Za-z0-9_-]{1,8} *=|COMMENT|HISTORY|CONTINUE|HIERARCH| {8}\S")
_INTEGER = re.compile(r"\s*([+-]?\d+)\s*(?:/.*)?$")
_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_STRUCTURE = re.compile(r"BITPIX|NAXIS\d*|PCOUNT|GCOUNT")


@dataclass
class DumpedHdu:
    """The cards of one HDU, without END."""

    cards: list[str]

    def integer(self, keyword: str) -> int | None:
        """Value of a card as an integer; None where it is missing or is not one."""
        for card in self.cards:
            if card.startswith(f"{keyword:<8}="):
                match = _INTEGER.match(card[9:])
                return int(match[1]) if match else None
        return None

    @property
    def is_table(self) -> bool:
        """Whether the extension is an ASCII or binary table (tile-compressed images are)."""
        return any(card.startswith("XTENSION=") and "TABLE" in card for card in self.cards)

    def axes(self) -> list[int] | None:
        """NAXIS1 to NAXISn; None where the cards do not say."""
        number = self.integer("NAXIS")
        if number is None or not 0 <= number <= 999:
            return None
        axes = [self.integer(f"NAXIS{axis}") for axis in range(1, number + 1)]
        if any(length is None or length < 0 for length in axes):
            return None
        return [length for length in axes if length is not None]

    def data_length(self) -> int | None:
        """Bytes of the data unit without padding (FITS standard 4.0, section 4.4.1); None = not known."""
        axes, bitpix = self.axes(), self.integer("BITPIX")
        if axes is None or bitpix not in _DTYPES:
            return None
        if not axes:
            return 0
        parameters = self.integer("PCOUNT") or 0
        groups = self.integer("GCOUNT")
        return abs(bitpix) // 8 * (1 if groups is None else groups) * (parameters + math.prod(axes))

    def shrink(self) -> None:
        """Cut the image's axes to `SHORT_AXIS`; empty a table. Other cards stay as they are."""
        for number, length in enumerate(self.axes() or (), start=1):
            if not self.is_table and length > SHORT_AXIS:
                self._replace(f"NAXIS{number}", SHORT_AXIS)
        if self.is_table:
            self._replace("NAXIS2", 0)
            self._replace("PCOUNT", 0)

    def _replace(self, keyword: str, value: int) -> None:
        for position, card in enumerate(self.cards):
            if card.startswith(f"{keyword:<8}=") and _INTEGER.match(card[9:]):
                slash = card.find("/")
                comment = f" {card[slash:]}" if slash >= 0 else ""
                self.cards[position] = f"{keyword:<8}= {value:>20d}{comment}"


def split_dump(text: str) -> list[DumpedHdu]:
    """Split a dump into HDUs; lines that have no card form are left out."""
    hdus: list[DumpedHdu] = []
    for line in text.splitlines():
        if _HDU_START.match(line):
            hdus.append(DumpedHdu([]))
        if hdus and line != "END" and _CARD.match(line):
            hdus[-1].cards.append(line)
    return hdus


def rebuild_from_headers(
    headers: Path,
    out: Path,
    *,
    data: DataMode = "zeros",
    progress: Callable[[Path], None] | None = None,
    problem: Callable[[Path, str], None] | None = None,
) -> list[Path]:
    """Make a FITS file of every header dump below a directory.

    Parameters
    ----------
    headers : Path
        Directory, searched recursively for ``*.txt``.
    out : Path
        Where the files go, flat: ``NAME.txt`` becomes ``NAME.fits``.
    data : {"zeros", "noise", "shrunk"}
        Sparse files of the declared length; noise about a sky level in the images; or images cut to 64 pixels
        an axis with noise, and tables without rows.
    progress : callable, optional
        Called with each path when it is written.
    problem : callable, optional
        Called with a path and what its cards do not say; the cards are kept, the HDU gets no data.

    Returns
    -------
    list of Path
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for dump in sorted(headers.rglob("*.txt")):
        hdus = split_dump(dump.read_text(encoding="ascii", errors="replace"))
        path = out / f"{dump.name.removesuffix('.txt')}.fits"
        if not hdus:
            _tell(problem, path, "no card SIMPLE or XTENSION in the dump")
            continue
        with path.open("wb") as file:
            for number, hdu in enumerate(hdus):
                complaint = _write_hdu(file, hdu, data, seed=zlib.crc32(f"{dump.name}{number}".encode()))
                if complaint:
                    _tell(problem, path, f"HDU {number}: {complaint}")
        paths.append(path)
        if progress is not None:
            progress(path)
    return paths


def _tell(problem: Callable[[Path, str], None] | None, path: Path, text: str) -> None:
    if problem is not None:
        problem(path, text)


def _write_hdu(file: BinaryIO, hdu: DumpedHdu, data: DataMode, seed: int) -> str | None:
    if data == "shrunk":
        hdu.shrink()
    file.write(header_block(pad_card(card) for card in hdu.cards))
    length = hdu.data_length()
    if length is None:
        structure = [card[:30].rstrip() for card in hdu.cards if _STRUCTURE.match(card)]
        return f"size of the data unit not known from {structure}"
    if data == "zeros" or hdu.is_table:
        end = file.tell() + length + padding(length)
        file.truncate(end)
        file.seek(end)
        return None
    for piece in _sky(hdu, length, seed):
        file.write(piece)
    file.write(bytes(padding(length)))
    return None


def _sky(hdu: DumpedHdu, length: int, seed: int) -> Iterator[bytes]:
    """Bytes of noise about a sky level, in the declared pixel type."""
    bitpix = hdu.integer("BITPIX") or 8
    level, spread = (100.0, 10.0) if bitpix == 8 else (1000.0, 30.0)
    pixels = min(NOISE_PIXELS, max(1, length * 8 // abs(bitpix)))
    values = np.random.default_rng(seed).standard_normal(pixels, dtype=np.float32) * spread + level
    pool = (values if bitpix < 0 else np.rint(values)).astype(_DTYPES[bitpix]).tobytes()
    while length > 0:
        yield pool[:length]
        length -= len(pool)
