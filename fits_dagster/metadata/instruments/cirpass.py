"""CIRPASS. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.coordinates import keyword_position
from fits_dagster.metadata.tags import TagRule, always, contains
from fits_dagster.metadata.translator import Translator

__all__ = ["Cirpass"]


class Cirpass(Translator):
    """Rules of CIRPASS."""

    instrume = ("CIRPASS",)
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("CIRPASS",), always),
        TagRule(("IMAGE",), always),
        TagRule(("DARK", "CAL"), contains("OBSTYPE", "dark", any_case=True), blocks=frozenset({"IMAGE"})),
        TagRule(("FLAT", "CAL"), contains("OBSTYPE", "flat", any_case=True)),
        TagRule(("BIAS", "CAL"), contains("OBSTYPE", "bias", any_case=True), blocks=frozenset({"IMAGE"})),
    )

    def position(self) -> tuple[float | None, float | None]:
        """Return the position of the telescope."""
        return keyword_position(self.primary, "TEL_RA", "TEL_DEC")
