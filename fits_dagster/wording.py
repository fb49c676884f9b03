"""Words of messages for people."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """Say how many there are of something: ``1 file``, ``0 files``, ``12 files``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
