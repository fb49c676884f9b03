"""Putting a file in place so that nobody ever sees half of it."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, Final, Protocol

from fits_dagster.fits.names import TEMPORARY_MARK, temporary_name
from fits_dagster.fits.opening import opened

__all__ = [
    "TEMPORARY_MARK",
    "copy_hashed",
    "fsync_directory",
    "land",
    "md5_of",
    "temporary_beside",
    "write_durably",
]

_CHUNK: Final = 1 << 20
#: Bytes that are hashed before they are written: a thread for a small file costs more than it gains.
_HASHED_IN_PASSING: Final = 4 << 20
_ENDED: Final = -1


class _Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...


def temporary_beside(target: Path) -> Path:
    """Return a fresh temporary name in the directory of the target."""
    return target.with_name(temporary_name(target.name, secrets.token_hex(6)))


def fsync_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def copy_hashed(source: BinaryIO, target: BinaryIO) -> tuple[int, str]:
    """Copy a stream into a file and make it durable.

    A large file is hashed beside the writing, from what has been written, so that the processor works while
    the disk does.

    Parameters
    ----------
    source
        Read to its end.
    target
        A file that is being written; what it holds so far does not count.

    Returns
    -------
    tuple
        Number of bytes and their MD5 (hexadecimal).
    """
    with ThreadPoolExecutor(1, thread_name_prefix="md5") as beside:
        digest = hashlib.md5(usedforsecurity=False)
        buffer = memoryview(bytearray(_CHUNK))
        written: SimpleQueue[int] = SimpleQueue()
        hashed: Future[None] | None = None
        before, size = target.tell(), 0
        try:
            while count := _read_into(source, buffer):
                target.write(buffer[:count])
                size += count
                if hashed is None and size <= _HASHED_IN_PASSING:
                    digest.update(buffer[:count])
                    continue
                target.flush()
                if hashed is None:
                    start = before + size - count
                    hashed = beside.submit(_hash_behind, Path(target.name), start, written, digest)
                written.put(before + size)
            target.flush()
            os.fsync(target.fileno())
        finally:
            written.put(_ENDED)
        if hashed is not None:
            hashed.result()
    return size, digest.hexdigest()


def _hash_behind(path: Path, start: int, written: SimpleQueue[int], digest: _Digest) -> None:
    """Hash a file from a place on, as far as it has been written, until there is no more."""
    buffer = memoryview(bytearray(_CHUNK))
    with opened(path) as stream:
        stream.seek(start)
        while (end := written.get()) != _ENDED:
            while start < end:
                count = stream.readinto(buffer[: end - start])
                if not count:
                    raise OSError(errno.EIO, "what was written cannot be read", str(path))
                digest.update(buffer[:count])
                start += count


def _read_into(source: BinaryIO, buffer: memoryview) -> int:
    readinto: Callable[[memoryview], int] | None = getattr(source, "readinto", None)
    if readinto is not None:
        return readinto(buffer)
    chunk = source.read(len(buffer))
    buffer[: len(chunk)] = chunk
    return len(chunk)


def write_durably(path: Path, content: bytes) -> None:
    """Make a new file; a rename of it makes it visible and keeps it."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def land(temporary: Path, target: Path) -> None:
    """Rename a complete, synced temporary file to its final name and make that durable."""
    temporary.replace(target)
    fsync_directory(target.parent)


def md5_of(path: Path) -> str:
    """Return the MD5 of a file's bytes (hexadecimal)."""
    with opened(path) as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
