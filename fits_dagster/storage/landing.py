"""Putting a file in place so that nobody ever sees half of it."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from fits_dagster.fits.names import TEMPORARY_MARK, temporary_name
from fits_dagster.fits.opening import opened

__all__ = ["TEMPORARY_MARK", "copy_hashed", "fsync_directory", "land", "md5_of", "temporary_beside"]

_CHUNK = 1 << 20


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
    """Copy a stream and make it durable; returns the number of bytes and their MD5 (hexadecimal)."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    buffer = memoryview(bytearray(_CHUNK))
    readinto: Callable[[memoryview], int] | None = getattr(source, "readinto", None)
    while True:
        if readinto is not None:
            count = readinto(buffer)
            chunk: bytes | memoryview = buffer[:count]
        else:
            chunk = source.read(_CHUNK)
            count = len(chunk)
        if not count:
            break
        digest.update(chunk)
        target.write(chunk)
        size += count
    target.flush()
    os.fsync(target.fileno())
    return size, digest.hexdigest()


def land(temporary: Path, target: Path) -> None:
    """Rename a complete, synced temporary file to its final name and make that durable."""
    temporary.replace(target)
    fsync_directory(target.parent)


def md5_of(path: Path) -> str:
    """Return the MD5 of a file's bytes (hexadecimal)."""
    with opened(path) as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
