"""What a child process is at, told to the parent that guards it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["note", "tell_to"]

_listeners: list[Callable[[str], None]] = []


def note(doing: str) -> None:
    """Tell what begins now; a crash is then told with it. Outside a guarded process nothing happens."""
    for tell in _listeners:
        tell(doing)


def tell_to(listener: Callable[[str], None]) -> None:
    """Have the notes of this process told to somebody."""
    _listeners[:] = [listener]
