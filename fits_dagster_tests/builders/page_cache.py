"""What the system has of a file in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["is_in_memory"]


def is_in_memory(path: Path) -> bool:
    """Tell whether the end of a file is in the page cache; skip the test where the system does not tell."""
    with path.open("rb") as file:
        try:
            return bool(os.preadv(file.fileno(), [bytearray(1)], path.stat().st_size - 1, os.RWF_NOWAIT))
        except BlockingIOError:
            return False
        except OSError:
            pytest.skip("this file system does not tell what it has in memory")
