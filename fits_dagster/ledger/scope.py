"""Which of a stage's work: of some nights, live or background."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["EVERYTHING", "Scope", "Urgency"]


class Urgency(StrEnum):
    """How urgent work is."""

    #: Files that come now, and what people ask for.
    LIVE = "live"
    #: Work of low priority, which gives way to all other: backfills.
    BACKGROUND = "background"
    BOTH = "both"


@dataclass(frozen=True)
class Scope:
    """A part of a stage's queue."""

    #: Night labels; None for all nights.
    nights: tuple[str, ...] | None = None
    urgency: Urgency = Urgency.BOTH

    @property
    def is_background(self) -> bool:
        """Whether it is background work and no other."""
        return self.urgency is Urgency.BACKGROUND

    def values(self) -> dict[str, Any]:
        """Return the values of the condition ``in_scope`` of the statements."""
        return {
            "nights": list(self.nights) if self.nights is not None else None,
            "background": None if self.urgency is Urgency.BOTH else self.is_background,
        }


EVERYTHING = Scope()
