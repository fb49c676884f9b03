"""hrwfs, the acquisition camera. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.tags import TagRule, always, contains
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import number

__all__ = ["Hrwfs"]


class Hrwfs(Translator):
    """Rules of the acquisition camera."""

    instrume = ("HRWFS",)
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("HRWFS",), always),
        TagRule(("IMAGE",), always),
        TagRule(("DARK", "CAL"), contains("OBSTYPE", "dark", any_case=True), blocks=frozenset({"IMAGE"})),
        TagRule(("FLAT", "CAL"), contains("OBSTYPE", "flat", any_case=True)),
        TagRule(("BIAS", "CAL"), contains("OBSTYPE", "bias", any_case=True), blocks=frozenset({"IMAGE"})),
    )

    def position(self) -> tuple[float | None, float | None]:
        """Return the reference values of the primary header."""
        return number(self.primary, "CRVAL1"), number(self.primary, "CRVAL2")
