"""Copying beside hashing: the bytes and their MD5 are right, whatever the size."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from fits_dagster.storage.landing import copy_hashed

MB = 1 << 20


@pytest.mark.parametrize("size", [0, 1, MB, 4 * MB, 4 * MB + 1, 9 * MB + 17])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_copy_has_the_bytes_and_their_md5(tmp_path: Path, size: int, buffering: int) -> None:
    content = os.urandom(size)
    target = tmp_path / "copy"
    with target.open("xb", buffering=buffering) as writer:
        copied, md5 = copy_hashed(io.BytesIO(content), writer)
    assert (copied, md5) == (size, hashlib.md5(content, usedforsecurity=False).hexdigest())
    assert target.read_bytes() == content


def test_what_stands_in_the_file_before_does_not_count(tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.write_bytes(b"before")
    content = os.urandom(6 * MB)
    with target.open("ab") as writer:
        copied, md5 = copy_hashed(io.BytesIO(content), writer)
    assert (copied, md5) == (len(content), hashlib.md5(content, usedforsecurity=False).hexdigest())
    assert target.read_bytes() == b"before" + content


def test_a_reader_that_fails_ends_the_copy(tmp_path: Path) -> None:
    class Fails(io.BytesIO):
        def readinto(self, buffer: object) -> int:
            if self.tell() >= 6 * MB:
                raise OSError(5, "the disk has gone")
            return super().readinto(buffer)  # type: ignore[arg-type]

    with (tmp_path / "copy").open("xb") as writer, pytest.raises(OSError, match="the disk has gone"):
        copy_hashed(Fails(os.urandom(8 * MB)), writer)
