"""What is told of a preview that was made; without what makes it, for those who only note it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Layout", "PreviewInfo"]

Layout = Literal["image", "cube", "mosaic", "chop_nod"]


@dataclass(frozen=True)
class PreviewInfo:
    """What was made."""

    width: int
    height: int
    #: bytes of the JPEG file
    size: int
    layout: Layout
    #: pixel values that became black and white
    low: float
    high: float
