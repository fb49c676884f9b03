"""GRACES. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from fits_dagster.metadata.coordinates import target_with_offsets
from fits_dagster.metadata.tags import TagRule, always, equals
from fits_dagster.metadata.translator import Translator

__all__ = ["Graces"]

#: Micron.
_CENTRAL_WAVELENGTH: Final = 0.7


class Graces(Translator):
    """Rules of GRACES."""

    instrume = ("GRACES",)
    constants: ClassVar = {"disperser": "GRACES"}
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("GRACES",), always),
        TagRule(("SPECT",), always),
        TagRule(("ARC", "CAL"), equals("OBSTYPE", "ARC")),
        TagRule(("FLAT", "CAL"), equals("OBSTYPE", "FLAT")),
        TagRule(("BIAS", "CAL"), equals("OBSTYPE", "BIAS")),
    )

    def central_wavelength(self) -> float:
        """Return the fixed central wavelength, micron."""
        return _CENTRAL_WAVELENGTH

    def position(self) -> tuple[float | None, float | None]:
        """Return the target with offsets; there is no WCS."""
        return target_with_offsets(self.primary, self.instant) or (None, None)

    def to_reduction(self) -> str:
        """Return whether the observatory has reduced the spectrum."""
        return "PROCESSED_SCIENCE" if "REDUCTIO" in self.primary else "RAW"
