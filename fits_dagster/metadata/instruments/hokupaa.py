"""Hokupa'a with QUIRC. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.coordinates import keyword_position
from fits_dagster.metadata.tags import TagRule, always, contains
from fits_dagster.metadata.translator import Translator

__all__ = ["HokupaaQuirc"]


class HokupaaQuirc(Translator):
    """Rules of Hokupa'a with QUIRC."""

    instrume = ("HOKUPAA+QUIRC",)
    keywords: ClassVar = {"airmass": ("AMEND",), "filters": ("FILTER",), "observation_type": ("IMAGETYP",)}
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("HOKUPAAQUIRC",), always),
        TagRule(("IMAGE",), always),
        TagRule(("DARK",), contains("OBJECT", "dark", any_case=True), blocks=frozenset({"IMAGE", "SPECT"})),
        TagRule(("FLAT", "CAL"), contains("OBJECT", "flat", any_case=True)),
    )

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the filter as it is in the header."""
        return self.keyword_text("filters")

    def to_wavelength_band(self) -> str | None:
        """Return the filter: the band is not one of the usual list."""
        return self.keyword_text("filters")

    def position(self) -> tuple[float | None, float | None]:
        """Return the keywords."""
        return keyword_position(self.primary)
