"""Pixels of a FITS file, in the file's own number type and byte order; only the images asked for are read.

Files are read, not mapped: a mapped file that somebody cuts short would kill the process.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fits_dagster.fits.bzip2 import CompressionError, plain_pieces
from fits_dagster.fits.hdu import HDU, padded
from fits_dagster.fits.names import COMPRESSED_SUFFIX
from fits_dagster.fits.opening import opened
from fits_dagster.fits.walker import Walker
from fits_dagster.previews.errors import NoPreview
from fits_dagster.previews.tiles import decoded

__all__ = ["Image", "OpenFile", "Pixels", "images_of", "open_images"]

Pixels = NDArray[Any]

#: bytes shown to the walker at a header; it asks again where a header is longer
HEADER_READ = 8 * 2880
#: beyond these BZERO and BSCALE make numbers that a picture cannot hold
_LARGEST_SCALE, _SMALLEST_SCALE = 1e28, 1e-28
_DTYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
#: extensions of reduced data that go with an image and are none themselves
_COMPANIONS = frozenset({"VAR", "DQ", "OBJMASK", "MASK", "MDF", "UNCERT", "BPM"})


@dataclass(frozen=True)
class Image:
    """One image HDU of an open file."""

    hdu: HDU
    index: int
    source: _Source

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes longer than one pixel, slowest first."""
        return tuple(length for length in self.hdu.shape if length != 1)

    @property
    def zero(self) -> float:
        """``BZERO``: what a stored zero means."""
        return self._scaling[0]

    @property
    def scale(self) -> float:
        """``BSCALE``: what a stored step means."""
        return self._scaling[1]

    @property
    def _scaling(self) -> tuple[float, float]:
        zero = _number(self.hdu.cards.get("BZERO"), 0.0)
        scale = _number(self.hdu.cards.get("BSCALE"), 1.0) or 1.0
        if abs(zero) <= _LARGEST_SCALE and _SMALLEST_SCALE <= abs(scale) <= _LARGEST_SCALE:
            return zero, scale
        # beyond what a picture can hold; without them it is the same picture
        return 0.0, math.copysign(1.0, scale)

    def stored(self) -> Pixels:
        """The stored numbers (before BSCALE and BZERO), axes of length one removed.

        Raises
        ------
        NoPreview
            The file ends before the data do, or the compressed pixels cannot be read.
        """
        if not self.hdu.is_compressed_image:
            dtype = np.dtype(_DTYPES[self.hdu.bitpix or 8])
            data = self._bytes(self.hdu.data_offset, math.prod(self.hdu.shape) * dtype.itemsize)
            return self._showable(np.frombuffer(data, dtype).reshape(self.shape))
        needed = self.hdu.data_offset - self.hdu.offset + self.hdu.data_bytes
        fill = padded(self.hdu.data_bytes) - self.hdu.data_bytes
        content = bytes(self._bytes(self.hdu.offset, needed)).ljust(needed + fill, b"\0")
        return self._showable(decoded(self.hdu, self.index, content).reshape(self.shape))

    def strips(self, cuts: Sequence[int]) -> Iterator[Pixels]:
        """Give the stored numbers of an image of two axes some rows at a time, which stay in the cache.

        Parameters
        ----------
        cuts
            Numbers of the rows before which the image is cut, of the first and the one after the last too.

        Returns
        -------
        iterator of ndarray
            Rows between two cuts; their memory is used anew for the next.

        Raises
        ------
        NoPreview
            See `stored`.
        """
        if self.hdu.is_compressed_image:
            whole = self.stored()
            return (whole[first:last] for first, last in pairwise(cuts))
        dtype = np.dtype(_DTYPES[self.hdu.bitpix or 8])
        self._require(self.hdu.data_offset + cuts[-1] * self.shape[1] * dtype.itemsize)
        return self._strips(cuts, dtype)

    def planes(self, most: int) -> Pixels:
        """Return planes of an image of more than two axes, evenly spread, as (planes, rows, columns).

        Parameters
        ----------
        most
            Number of planes; of an image that has fewer, all.

        Raises
        ------
        NoPreview
            See `stored`.
        """
        rows, columns = self.shape[-2:]
        number = math.prod(self.shape[:-2])
        chosen = np.linspace(0, number - 1, min(most, number)).astype(int)
        if self.hdu.is_compressed_image or len(chosen) == number:
            planes: Pixels = self.stored().reshape(-1, rows, columns)[chosen]
            return planes
        dtype = np.dtype(_DTYPES[self.hdu.bitpix or 8])
        size = rows * columns * dtype.itemsize
        self._require(self.hdu.data_offset + number * size)
        read = [self._bytes(self.hdu.data_offset + int(index) * size, size) for index in chosen]
        return self._showable(np.frombuffer(b"".join(read), dtype).reshape(-1, rows, columns))

    def _strips(self, cuts: Sequence[int], dtype: np.dtype[Any]) -> Iterator[Pixels]:
        row = self.shape[1] * dtype.itemsize
        for first, last in pairwise(cuts):
            length = (last - first) * row
            data = self._all_of(self.source.glance(self.hdu.data_offset + first * row, length), length)
            yield self._showable(np.frombuffer(data, dtype).reshape(last - first, -1))

    def _showable(self, pixels: Pixels) -> Pixels:
        cards = self.hdu.cards
        return _showable(pixels, cards.get("BLANK", cards.get("ZBLANK")))

    def _require(self, end: int) -> None:
        if end > self.source.size:
            raise NoPreview("truncated", f"HDU {self.index}")

    def _bytes(self, offset: int, length: int) -> bytes | memoryview:
        # the size is looked at before any memory is asked for
        self._require(offset + length)
        return self._all_of(self.source.read(offset, length), length)

    def _all_of(self, data: bytes | memoryview, length: int) -> bytes | memoryview:
        if len(data) < length:
            raise NoPreview("truncated", f"HDU {self.index}")
        return data


@dataclass(frozen=True)
class OpenFile:
    """The images of a file that have pixels, and its primary header."""

    primary: HDU
    images: list[Image]


@contextmanager
def open_images(path: Path) -> Iterator[OpenFile]:
    """Open a file, plain or ``.bz2``, and list its images that have pixels.

    Companions of an image (variance, data quality, masks) are left out where there is anything else.
    Pixels can be read until the context ends.

    Raises
    ------
    NoPreview
        ``not_fits``, ``unreadable``, ``no_image``, ``empty_image``.
    """
    with opened(path) as file:
        compressed = path.name.endswith(COMPRESSED_SUFFIX)
        source = _Memory(_decompress(path)) if compressed else _Disk(file.fileno())
        yield _images(_headers(source), source)


def images_of(hdus: Sequence[HDU], content: bytes | bytearray) -> OpenFile:
    """List the images of a file that is in memory; see `open_images`.

    Parameters
    ----------
    hdus : sequence of HDU
        Its headers, primary first.
    content : bytes or bytearray
        All of it, uncompressed.
    """
    return _images(hdus, _Memory(content))


class _Disk:
    """Bytes of an open file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self._glanced = bytearray()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes, fewer at the end of the file."""
        pieces = []
        while length > 0 and (piece := os.pread(self._descriptor, length, offset)):
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def glance(self, offset: int, length: int) -> memoryview:
        """Return `length` bytes, fewer at the end, which are good until the next glance."""
        if len(self._glanced) < length:
            self._glanced = bytearray(length)
        room, done = memoryview(self._glanced)[:length], 0
        while done < length and (more := os.preadv(self._descriptor, [room[done:]], offset + done)):
            done += more
        return room[:done]


class _Memory:
    """Bytes that were decompressed."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = memoryview(data).toreadonly()
        self.size = len(data)

    def read(self, offset: int, length: int) -> memoryview:
        """Return `length` bytes without copying them, fewer at the end."""
        return self._data[offset : offset + length]

    glance = read


_Source = _Disk | _Memory


def _decompress(path: Path) -> bytes:
    try:
        return b"".join(plain_pieces(path))
    except CompressionError as error:
        raise NoPreview("unreadable", f"bzip2: {error}") from error


def _headers(source: _Source) -> Sequence[HDU]:
    walker = Walker()
    while walker.needed is not None and walker.needed < source.size:
        offset = walker.needed
        walker.feed(bytes(source.read(offset, HEADER_READ)), offset)
    return walker.hdus


def _images(hdus: Sequence[HDU], source: _Source) -> OpenFile:
    if not hdus:
        raise NoPreview("not_fits")
    images = [Image(hdu, index, source) for index, hdu in enumerate(hdus) if hdu.has_pixels]
    science = [image for image in images if (image.hdu.name or "").upper() not in _COMPANIONS]
    if images:
        return OpenFile(hdus[0], science or images)
    declared = any(hdu.is_image and hdu.shape for hdu in hdus)
    raise NoPreview("empty_image" if declared else "no_image")


def _showable(pixels: Pixels, blank: object) -> Pixels:
    """Make no numbers of what stands for none, and of what a picture cannot hold."""
    if pixels.dtype.kind in "iu" and isinstance(blank, int) and not isinstance(blank, bool):
        missing = pixels == blank
        if missing.any():
            return np.where(missing, np.float32(np.nan), pixels.astype(np.float32))
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize > 4:
        with np.errstate(over="ignore", invalid="ignore"):
            return pixels.astype(np.float32)
    return pixels


def _number(value: object, default: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return default
