"""bHROS. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.coordinates import target_with_offsets
from fits_dagster.metadata.tags import TagRule, always
from fits_dagster.metadata.translator import Translator

__all__ = ["Bhros"]


class Bhros(Translator):
    """Rules of bHROS."""

    instrume = ("BHROS",)
    constants: ClassVar = {"disperser": "bHROS"}
    keywords: ClassVar = {"central_wavelength": ("WAVELENG",)}
    wavelength_unit = 1e-4
    tag_rules: ClassVar[Sequence[TagRule]] = (TagRule(("BHROS", "SPECT"), always),)

    def position(self) -> tuple[float | None, float | None]:
        """Return the target with offsets."""
        return target_with_offsets(self.primary, self.instant) or (None, None)
