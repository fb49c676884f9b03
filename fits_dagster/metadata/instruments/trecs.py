"""TReCS. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from fits_dagster.metadata.common_tags import OBSERVING_MODE
from fits_dagster.metadata.pictures import Picture
from fits_dagster.metadata.tags import TagRule, always, contains, no
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import number

__all__ = ["Trecs"]

#: Central wavelengths of the gratings, micron.
_WAVELENGTHS: Final = {"LowRes-10": 10.5, "LowRes-20": 20.0}
_HIGH_RESOLUTION: Final = "HighRes-10"

_MIRROR = contains("GRATING", "mirror", any_case=True)


class Trecs(Translator):
    """Rules of TReCS."""

    instrume = ("TRECS",)
    picture = Picture.CHOP_NOD
    keywords: ClassVar = {
        "camera": ("OBSMODE",),
        "disperser": ("GRATING",),
        "exposure_time": ("OBJTIME",),
        "focal_plane_mask": ("SLIT",),
        "pupil_mask": ("PUPILIMA",),
    }
    without_rules = frozenset({OBSERVING_MODE})
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("TRECS",), always),
        TagRule(("IMAGE",), _MIRROR),
        TagRule(("SPECT",), no(_MIRROR)),
    )

    def disperser(self, *, pretty: bool) -> str | None:
        """Return the grating as it is in the header."""
        return self.keyword_text("disperser")

    def central_wavelength(self) -> float | None:
        """Return the central wavelength of the grating, micron; the echelle's is in the header."""
        grating = self.keyword_text("disperser") or ""
        if grating.startswith(_HIGH_RESOLUTION):
            return number(self.primary, "HRCENWL")
        return _WAVELENGTHS.get(grating)
