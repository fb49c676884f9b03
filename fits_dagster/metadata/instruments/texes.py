"""TEXES. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.coordinates import keyword_position
from fits_dagster.metadata.tags import TagRule, always, contains
from fits_dagster.metadata.translator import Translator

__all__ = ["Texes"]


class Texes(Translator):
    """Rules of TEXES."""

    instrume = ("TEXES",)
    keywords: ClassVar = {"exposure_time": ("OBSTIME",)}
    sums_coadds = False
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("TEXES",), always),
        TagRule(("SPECT",), always),
        TagRule(("DARK", "CAL"), contains("OBSTYPE", "dark", any_case=True), blocks=frozenset({"SPECT"})),
        TagRule(("FLAT", "CAL"), contains("OBSTYPE", "flat", any_case=True)),
        TagRule(("BIAS", "CAL"), contains("OBSTYPE", "bias", any_case=True), blocks=frozenset({"SPECT"})),
    )

    def position(self) -> tuple[float | None, float | None]:
        """Return the keywords."""
        return keyword_position(self.primary)

    def to_observation_type(self) -> str | None:
        """Return the kind in upper case."""
        named = super().to_observation_type()
        return named.upper() if named else None
