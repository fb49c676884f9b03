"""OSCIR. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.coordinates import keyword_position
from fits_dagster.metadata.tags import TagRule, always
from fits_dagster.metadata.translator import Translator

__all__ = ["Oscir"]


class Oscir(Translator):
    """Rules of OSCIR."""

    instrume = ("OSCIR",)
    keywords: ClassVar = {"airmass": ("AIRMASS1",)}
    tag_rules: ClassVar[Sequence[TagRule]] = (TagRule(("OSCIR",), always),)

    def position(self) -> tuple[float | None, float | None]:
        """Return the keywords."""
        return keyword_position(self.primary)
