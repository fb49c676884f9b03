"""The one reader of bzip2 files: several streams, tails that are none, cuts, and what is no bzip2 at all."""

from __future__ import annotations

import bz2
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from .names import COMPRESSED_SUFFIX
from .opening import opened
from .problems import Problem, refuse, warn

__all__ = ["CompressionError", "expanded", "plain_pieces"]

_CHUNK: Final = 1 << 20
_MAGIC: Final = b"BZh"
#: What follows the four bytes at the beginning: a block, or the end of a stream that has none.
_FIRST_BLOCKS: Final = (b"1AY&SY", b"\x17rE8P\x90")
_BEGINNING: Final = len(_MAGIC) + 1 + len(_FIRST_BLOCKS[0])
#: What a file may be that is named like a bzip2 file and is none.
_KINDS: Final = {b"SIMPLE": "an uncompressed FITS file", b"\x1f\x8b": "gzip data", b"\xfd7zXZ": "xz data"}


class CompressionError(OSError):
    """The file cannot be decompressed."""


def expanded(pieces: Iterable[bytes], problems: list[Problem]) -> Iterator[bytes]:
    """Decompress one or more bzip2 streams.

    Parameters
    ----------
    pieces : iterable of bytes
        The file, cut anywhere. All of it is consumed, whatever it holds.
    problems : list of Problem
        Findings are appended: ``bad_compression`` for a stream that is broken or cut, a warning
        ``trailing_bytes`` for bytes after the last stream that are none (`bzip2` passes over them too).
    """
    decompressor, held, extra = bz2.BZ2Decompressor(), b"", 0
    between, first, broken = True, True, False
    for piece in pieces:
        if broken or extra:
            extra += len(piece) if extra else 0
            continue
        rest = held + piece
        held = b""
        while rest:
            if between:
                if len(rest) < _BEGINNING and _may_begin(rest):
                    held = rest
                    break
                if not first and not _begins(rest):
                    extra = len(rest)
                    break
                decompressor, between = bz2.BZ2Decompressor(), False
            try:
                out = decompressor.decompress(rest)
            except (OSError, ValueError) as error:
                problems.append(refuse("bad_compression", _broken(rest, error, first=first)))
                broken = True
                break
            if out:
                yield out
            rest = decompressor.unused_data if decompressor.eof else b""
            if decompressor.eof:
                between, first = True, False
    if held and (first or len(held) > len(_MAGIC)):
        problems.append(refuse("bad_compression", "the bzip2 stream ends too early"))
    elif held or extra:
        count = extra or len(held)
        problems.append(
            warn("trailing_bytes", f"{count} bytes after the bzip2 stream are none; they are passed over")
        )
    elif not between and not broken:
        problems.append(refuse("bad_compression", "the bzip2 stream ends too early"))


def plain_pieces(path: Path) -> Iterator[bytes]:
    """Yield the uncompressed bytes of a file, plain or ``.bz2``.

    Raises
    ------
    CompressionError
        A stream is broken or cut; what came before has been given.
    OSError
        The file cannot be read.
    """
    problems: list[Problem] = []
    with opened(path) as source:
        pieces = iter(lambda: source.read(_CHUNK), b"")
        yield from expanded(pieces, problems) if path.name.endswith(COMPRESSED_SUFFIX) else pieces
    for problem in problems:
        if problem.severity == "refuse":
            raise CompressionError(f"{path.name}: {problem.message}")


def _may_begin(start: bytes) -> bool:
    """Tell whether bytes may be the beginning of the beginning of a stream."""
    if start[: len(_MAGIC)] != _MAGIC[: len(start)]:
        return False
    level, block = start[3:4], start[4:_BEGINNING]
    return (not level or level in b"123456789") and any(block == b[: len(block)] for b in _FIRST_BLOCKS)


def _begins(start: bytes) -> bool:
    return len(start) >= _BEGINNING and _may_begin(start[:_BEGINNING])


def _broken(rest: bytes, error: Exception, *, first: bool) -> str:
    if first and not rest.startswith(_MAGIC):
        kind = next((kind for magic, kind in _KINDS.items() if rest.startswith(magic)), None)
        reported = kind or f"no bzip2 data: it begins with {rest[:10]!r}"
        return f"the name says bzip2, but the file is {reported}"
    return f"the bzip2 stream is broken: {error}"
