"""Editing the headers of a file, plain or ``.bz2``: data and all other cards stay as they are.

The file is written anew beside the old one and takes its place in one step, so nobody sees half of it and a
crash leaves the old file.
"""

from __future__ import annotations

import bz2
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from .bzip2 import expanded, plain_pieces
from .checksum import RangeSum, add_sums, encoded_sum, ones_complement_sum
from .edited import Edit, EditError, edited_cards, header_bytes, with_checksum
from .hdu import HDU, padded
from .names import COMPRESSED_SUFFIX, temporary_name
from .opening import opened
from .reading import walk_headers

__all__ = ["Edit", "EditError", "EditReport", "edit_headers"]

_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class EditReport:
    """What an edit did."""

    #: One line for each change; empty if the file was already as wanted and was not written.
    changes: tuple[str, ...]
    #: MD5 of the stored bytes before and after, hexadecimal.
    file_md5_before: str
    file_md5: str
    #: MD5 of the uncompressed bytes before and after; equal to the former for a plain file.
    data_md5_before: str
    data_md5: str
    #: Sizes after the edit, bytes.
    file_size: int
    data_size: int
    #: Findings that did not prevent it: a DATASUM that does not fit the data.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Replacement:
    """Bytes that take the place of a header."""

    start: int
    end: int
    content: bytes


def edit_headers(path: Path, edits: Sequence[Edit]) -> EditReport:
    """Edit headers of a file.

    CHECKSUM of an edited HDU is made anew where it has one; DATASUM stays, since the data do.

    Parameters
    ----------
    path : Path
        The file; a name that ends in ``.bz2`` is decompressed and compressed on the way.
    edits : sequence of Edit
        At most one for each HDU.

    Returns
    -------
    EditReport
        Changes, and digests before and after.

    Raises
    ------
    EditError
        The edit is not possible, the file is no whole FITS file, or somebody changed it meanwhile. The
        file is as it was.
    OSError
        The file cannot be read, or the new one not written. The file is as it was.
    """
    before = path.stat()
    replacements, changes, warnings = _plan(path, edits)
    old = _Digests(path.name)
    if not changes:
        for _ in _contents(path, old):
            pass
        return _report((), old, old, ())
    new = _Digests(path.name)
    with _replacement_of(path, before) as target:
        for piece in _spliced(_contents(path, old), replacements):
            target.write(new.stored(new.data(piece)))
        target.write(new.stored(new.end()))
    return _report(tuple(changes), old, new, tuple(warnings))


def _plan(path: Path, edits: Sequence[Edit]) -> tuple[list[_Replacement], list[str], list[str]]:
    walker, _ = walk_headers(path)
    refusal = next((problem for problem in walker.problems if problem.severity == "refuse"), None)
    if refusal is not None:
        raise EditError(f"{path.name}: {refusal.message}", refusal.code)
    if len({edit.hdu for edit in edits}) < len(edits):
        raise EditError("two edits of one HDU", "bad_edit")
    replacements, changes, warnings = [], [], []
    for edit in sorted(edits, key=lambda edit: edit.hdu):
        if not 0 <= edit.hdu < len(walker.hdus):
            raise EditError(f"{path.name} has no HDU {edit.hdu}", "no_such_hdu")
        if edit.hdu in walker.after_end:
            raise EditError(
                f"text follows the END of HDU {edit.hdu}; an edit would lose it", "text_after_end"
            )
        hdu = walker.hdus[edit.hdu]
        cards, done = edited_cards(hdu, edit)
        if not done:
            continue
        changes += [f"HDU {edit.hdu}: {line}" for line in done]
        if "CHECKSUM" in hdu.cards:
            data_sum = _sum_of_data(path, hdu)
            if "DATASUM" in hdu.cards and str(hdu.cards["DATASUM"]).strip() != str(data_sum):
                warnings.append(f"DATASUM of HDU {edit.hdu} does not fit its data")
            blank = with_checksum(cards)
            total = add_sums(data_sum, ones_complement_sum([header_bytes(blank)]))
            cards = with_checksum(cards, encoded_sum(total))
        replacements.append(_Replacement(hdu.offset, hdu.data_offset, header_bytes(cards)))
    return replacements, changes, warnings


class _Digests:
    """MD5s and sizes of stored and uncompressed bytes; compresses where the name says so."""

    def __init__(self, name: str) -> None:
        self.compressor = bz2.BZ2Compressor() if name.endswith(COMPRESSED_SUFFIX) else None
        self.data_md5 = hashlib.md5(usedforsecurity=False)
        self.file_md5 = self.data_md5 if self.compressor is None else hashlib.md5(usedforsecurity=False)
        self.data_size = self.stored_size = 0

    def data(self, piece: bytes) -> bytes:
        """Note uncompressed bytes; returns what is to be stored of them."""
        self.data_md5.update(piece)
        self.data_size += len(piece)
        return piece if self.compressor is None else self.compressor.compress(piece)

    def stored(self, piece: bytes) -> bytes:
        """Note and return stored bytes."""
        if self.compressor is not None:
            self.file_md5.update(piece)
        self.stored_size += len(piece)
        return piece

    def end(self) -> bytes:
        """Return the last bytes to store."""
        return b"" if self.compressor is None else self.compressor.flush()


def _report(changes: tuple[str, ...], old: _Digests, new: _Digests, warnings: tuple[str, ...]) -> EditReport:
    return EditReport(
        changes=changes,
        file_md5_before=old.file_md5.hexdigest(),
        file_md5=new.file_md5.hexdigest(),
        data_md5_before=old.data_md5.hexdigest(),
        data_md5=new.data_md5.hexdigest(),
        file_size=new.stored_size,
        data_size=new.data_size,
        warnings=warnings,
    )


def _contents(path: Path, digests: _Digests) -> Iterator[bytes]:
    """Yield the uncompressed bytes of a file, and note both digests."""
    compressed = digests.compressor is not None
    with opened(path) as source:
        pieces = iter(lambda: source.read(_CHUNK), b"")
        noted = (digests.stored(piece) for piece in pieces)
        # the walk over the headers has seen that its streams are whole
        for piece in expanded(noted, []) if compressed else noted:
            digests.data_md5.update(piece)
            digests.data_size += len(piece)
            yield piece


def _sum_of_data(path: Path, hdu: HDU) -> int:
    """Return the sum over the data of an HDU with their padding."""
    kept = RangeSum(hdu.data_offset, hdu.data_offset + padded(hdu.data_bytes))
    offset = 0
    for piece in plain_pieces(path):
        kept.feed(piece, offset)
        offset += len(piece)
    return kept.total()


def _spliced(pieces: Iterable[bytes], replacements: Sequence[_Replacement]) -> Iterator[bytes]:
    """Yield pieces with stretches of them replaced; replacements are in ascending order."""
    waiting = list(reversed(replacements))
    offset = 0
    for piece in pieces:
        position = 0
        while waiting and position < len(piece):
            current = waiting[-1]
            if offset + len(piece) <= current.start:
                break
            begin = max(position, current.start - offset)
            if begin > position:
                yield piece[position:begin]
            if offset + begin == current.start:
                yield current.content
            position = min(len(piece), current.end - offset)
            if offset + position < current.end:
                break
            waiting.pop()
        if position < len(piece):
            yield piece[position:]
        offset += len(piece)


@contextmanager
def _replacement_of(path: Path, before: os.stat_result) -> Iterator[BinaryIO]:
    """Give a file to write that takes the place of another, durably, when the context ends well."""
    temporary = path.with_name(temporary_name(path.name, secrets.token_hex(6)))
    try:
        with temporary.open("xb") as target:
            yield target
            target.flush()
            os.fchmod(target.fileno(), stat.S_IMODE(before.st_mode))
            _keep_owner(target, before)
            os.fsync(target.fileno())
        now = path.stat()
        if (now.st_size, now.st_mtime_ns, now.st_ino) != (before.st_size, before.st_mtime_ns, before.st_ino):
            raise EditError(f"{path.name} was changed by another program during the edit", "changed")
        temporary.replace(path)
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    finally:
        temporary.unlink(missing_ok=True)


def _keep_owner(target: BinaryIO, before: os.stat_result) -> None:
    """Give the file its old owner where we may."""
    now = os.fstat(target.fileno())
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(target.fileno(), before.st_uid, before.st_gid)
        except PermissionError:
            return
