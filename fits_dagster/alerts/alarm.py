"""An alarm: one condition that somebody should know of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Alarm"]


@dataclass(frozen=True)
class Alarm:
    """A condition that holds now."""

    #: ``failed``, ``stuck``, ``growing``, ``disk``, ``dhs``, ``destination``, ``night``, ``run``, ``daemon``,
    #: ``sensor``, ``database``.
    kind: str
    #: What it is about; the same condition has the same subject at every look.
    subject: str
    #: One or two sentences: what, how much, and where to look.
    message: str
    #: How many files or the like; when it has grown tenfold, people are notified again.
    size: int = 1
