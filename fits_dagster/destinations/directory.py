"""A directory as a destination: a mirror on another disk, verified, and resumed where it was broken off.

The address is ``file:///path``. Files lie there under the same names and bytes as in the store. The directory
must exist: a disk that is not mounted is a destination that is down, and nothing is written beside it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit

from fits_dagster.destinations.base import (
    BadAnswerError,
    Delivered,
    Delivery,
    Destination,
    DestinationDownError,
    Holding,
    name_prefix,
)
from fits_dagster.fits.bzip2 import plain_pieces
from fits_dagster.fits.names import TEMPORARY_MARK, temporary_name, trimmed
from fits_dagster.fits.opening import NotAFileError
from fits_dagster.settings import SiteSettings
from fits_dagster.storage.entries import open_regular
from fits_dagster.storage.landing import copy_hashed, fsync_directory, land, md5_of

__all__ = ["DirectoryMirror"]

_CHUNK: Final = 1 << 20


class DirectoryMirror(Destination):
    """Another directory that is kept like the store."""

    def __init__(self, address: str, settings: SiteSettings) -> None:
        super().__init__(address, settings)
        self.root = Path(unquote(urlsplit(address).path))

    def deliver(self, delivery: Delivery) -> Delivered:
        """Copy a file, or the rest of it, and read it back."""
        self.check()
        with delivery.local() as source:
            target = self.root / delivery.path / source.name
            size = source.stat().st_size
            if _has(target, size, delivery.file_md5):
                return Delivered("already_there", 0, f"{target} has this content")
            self._make_directories(target.parent)
            # named by its content: another attempt at the same content goes on where this one ends
            partial = target.with_name(temporary_name(target.name, delivery.file_md5))
            with source.open("rb") as reader, partial.open("a+b") as writer:
                before = _append(reader, writer)
            if md5_of(partial) != delivery.file_md5:
                partial.unlink()
                raise BadAnswerError(
                    f"{partial}: what was read back has another MD5 than {delivery.file_md5}",
                    reason="verification_mismatch",
                )
            land(partial, target)
        resumed = f", resumed at byte {before}" if before else ""
        return Delivered("exported", size - before, f"{size / 1e6:.2f} MB to {target}{resumed}")

    def holdings(self, names: Iterable[str]) -> Mapping[str, Sequence[Holding]]:
        """Look for files of these names, in all directories of the mirror."""
        self.check()
        wanted = tuple(sorted({name_prefix(name) for name in names}))
        found: dict[str, list[Holding]] = {}
        for path in self._files():
            if path.name.startswith(wanted):
                there = path.parent.relative_to(self.root).as_posix().removeprefix(".")
                holding = Holding(trimmed(path.name), there, _data_md5_of(path))
                found.setdefault(holding.name, []).append(holding)
        return found

    def fetch(self, key: str, target: Path) -> str:
        """Copy a file of the mirror."""
        self.check()
        try:
            with open_regular(self.root / key, links=False) as reader, target.open("xb") as writer:
                return copy_hashed(reader, writer)[1]
        except (OSError, NotAFileError) as error:
            raise DestinationDownError(f"{self.root / key}: {type(error).__name__}") from error

    def check(self) -> None:
        """Look whether the directory is there."""
        try:
            if self.root.is_dir():
                return
        except OSError as error:
            raise DestinationDownError(f"{self.root}: {error}") from error
        raise DestinationDownError(f"{self.root} is no directory: is its disk mounted?")

    def _make_directories(self, directory: Path) -> None:
        for each in [*reversed(directory.relative_to(self.root).parents), directory.relative_to(self.root)]:
            place = self.root / each
            if not place.is_dir():
                place.mkdir(exist_ok=True)
                fsync_directory(place.parent)

    def _files(self) -> Iterator[Path]:
        for directory, _, names in os.walk(self.root):
            yield from (Path(directory) / name for name in names if TEMPORARY_MARK not in name)


def _has(target: Path, size: int, md5: str) -> bool:
    return target.is_file() and target.stat().st_size == size and md5_of(target) == md5


def _append(reader: BinaryIO, writer: BinaryIO) -> int:
    """Add what a partial copy lacks, if it is the beginning of the source; else begin anew.

    Returns
    -------
    int
        Bytes that were there before.
    """
    writer.seek(0)
    before = 0
    while chunk := writer.read(_CHUNK):
        if reader.read(len(chunk)) != chunk:
            writer.truncate(0)
            reader.seek(0)
            before = 0
            break
        before += len(chunk)
    while chunk := reader.read(_CHUNK):
        writer.write(chunk)
    writer.flush()
    os.fsync(writer.fileno())
    return before


def _data_md5_of(path: Path) -> str:
    status = path.stat()
    return _data_md5(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=100_000)
def _data_md5(path: Path, *state: int) -> str:
    """Return the MD5 of a file's uncompressed data; it is read again when anything of its state changes."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in plain_pieces(path):
        digest.update(piece)
    return digest.hexdigest()
