"""The tag that S3 gives to an object: of one part the MD5 of the bytes, of several the MD5 of their MD5s.

Services are free to give others (they do for encrypted objects), so a tag that differs proves nothing; one
that is equal proves that the bytes arrived.
"""

from __future__ import annotations

import hashlib
from io import BufferedReader
from pathlib import Path
from typing import Final

from fits_dagster.fits.opening import opened

__all__ = ["PART_BYTES", "expected_tag"]

#: Files of this size and larger are sent in parts of this size.
PART_BYTES: Final = 8 << 20


def expected_tag(path: Path, size: int, md5: str) -> str:
    """Return the tag of a file that is sent in parts of `PART_BYTES`.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        Its size.
    md5 : str
        The MD5 of its bytes (hexadecimal).
    """
    if size < PART_BYTES:
        return md5
    digests = []
    with opened(path) as raw, BufferedReader(raw, PART_BYTES) as source:
        while part := source.read(PART_BYTES):
            digests.append(hashlib.md5(part, usedforsecurity=False).digest())
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"
