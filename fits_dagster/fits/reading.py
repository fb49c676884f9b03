"""Reading files: digests and headers in one pass, or headers alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from .bzip2 import expanded
from .dumps import headers_from_text
from .hdu import BLOCK, HDU
from .names import COMPRESSED_SUFFIX
from .opening import opened
from .problems import Problem
from .sum_keeper import SumKeeper
from .walker import Walker

__all__ = ["HDU", "FileInspection", "headers_from_text", "inspect_file", "read_headers", "walk_headers"]

#: Bytes read at once: they are still in the core's own cache when they are summed up.
DEFAULT_CHUNK: Final = 1 << 18
#: Bytes read at once when jumping from header to header.
HEADER_READ: Final = 8 * BLOCK
#: Bytes of a file that are kept while it is read: a small one may decompress to any size.
MOST_KEPT: Final = 1 << 29


@dataclass(frozen=True)
class FileInspection:
    """What one pass over the bytes of a file tells."""

    #: MD5 of the bytes as stored, hexadecimal.
    file_md5: str
    #: Size of the bytes as stored.
    file_size: int
    #: MD5 of the uncompressed bytes; equal to ``file_md5`` for a plain file.
    data_md5: str
    #: Size of the uncompressed bytes.
    data_size: int
    #: Whether the name ends in ``.bz2``.
    compressed: bool
    #: Headers of all HDUs, primary first; empty for anything but FITS.
    hdus: tuple[HDU, ...]
    #: Findings of the walk over the structure, of the decompression, and of the sums in the headers.
    problems: tuple[Problem, ...]


def inspect_file(path: Path, *, chunk: int = DEFAULT_CHUNK, keep: bytearray | None = None) -> FileInspection:
    """Read every byte of a file once: digests, sizes, headers, structure.

    Parameters
    ----------
    path : Path
        Any file; a name that ends in ``.bz2`` is decompressed on the way.
    chunk : int
        Bytes read at once.
    keep : bytearray, optional
        The uncompressed bytes are added to it; none where they are more than `MOST_KEPT`.

    Returns
    -------
    FileInspection
        Digests and sizes are right for any file, FITS or not.

    Raises
    ------
    OSError
        If the file cannot be read. Nothing is raised for what the file holds.
    """
    compressed = path.name.endswith(COMPRESSED_SUFFIX)
    stored, data, walker = _Digest(), _Digest(), Walker()
    problems: list[Problem] = []
    with opened(path) as source:
        pieces = _pieces(source, chunk)
        if compressed:
            pieces = expanded(_noted(pieces, stored), problems)
        sums = SumKeeper()
        for piece in pieces:
            walker.feed(piece, data.size)
            sums.feed(piece, data.size, walker)
            data.update(piece)
            if keep is not None:
                keep += piece
                if data.size > MOST_KEPT:
                    keep.clear()
                    keep = None
    if not compressed:
        stored = data
    _finish(walker, data.size, problems)
    return FileInspection(
        file_md5=stored.hexdigest(),
        file_size=stored.size,
        data_md5=data.hexdigest(),
        data_size=data.size,
        compressed=compressed,
        hdus=tuple(walker.hdus),
        problems=(*walker.problems, *(sums.problems() if walker.is_whole else ())),
    )


def read_headers(path: Path) -> list[HDU]:
    """Read the headers of a FITS file and as little else as possible.

    Parameters
    ----------
    path : Path
        Plain or ``.bz2`` file.

    Returns
    -------
    list of HDU
        Headers up to the end of the file or the first that cannot be read; empty if it is no FITS file.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    return walk_headers(path)[0].hdus


def walk_headers(source: Path | FileIO) -> tuple[Walker, int]:
    """Walk the headers of a file, by jumps if it is plain.

    Parameters
    ----------
    source : Path or FileIO
        A path, plain or ``.bz2``; or an open plain file.

    Returns
    -------
    walker : Walker
        The finished walk.
    size : int
        Size of the uncompressed file, bytes.
    """
    if isinstance(source, Path):
        with opened(source) as plain:
            compressed = source.name.endswith(COMPRESSED_SUFFIX)
            return _walk_compressed(plain) if compressed else walk_headers(plain)
    walker = Walker()
    size = os.fstat(source.fileno()).st_size
    while walker.needed is not None and walker.needed < size:
        offset = walker.needed
        source.seek(offset)
        piece = source.read(HEADER_READ)
        if not piece:
            break
        walker.feed(piece, offset)
    walker.finish(size)
    return walker, size


def _walk_compressed(source: FileIO) -> tuple[Walker, int]:
    walker, size = Walker(), 0
    problems: list[Problem] = []
    for piece in expanded(_pieces(source, DEFAULT_CHUNK), problems):
        walker.feed(piece, size)
        size += len(piece)
    _finish(walker, size, problems)
    return walker, size


def _finish(walker: Walker, size: int, problems: Sequence[Problem]) -> None:
    """End a walk, with the findings of the decompression first."""
    if size or not problems:
        walker.finish(size)
    walker.problems[:0] = problems


class _Digest:
    """MD5 and size of the bytes that went by.

    The MD5 of the OpenSSL that comes with `cryptography` takes a twentieth less time than that of Python's,
    and this is most of the time of a file. It is loaded by those who read whole files alone: it takes 8 MB
    and a twentieth of a second.
    """

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.hashes import MD5, Hash

        self._md5 = Hash(MD5())  # noqa: S303 - no secret: what archives tell files by
        self._hex = ""
        self.size = 0

    def update(self, piece: bytes) -> None:
        self._md5.update(piece)
        self.size += len(piece)

    def hexdigest(self) -> str:
        """End it: nothing can be added any more."""
        self._hex = self._hex or self._md5.finalize().hex()
        return self._hex


def _pieces(source: FileIO, chunk: int) -> Iterator[bytes]:
    while piece := source.read(chunk):
        yield piece


def _noted(pieces: Iterator[bytes], digest: _Digest) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece
