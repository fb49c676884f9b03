"""Michelle. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.common_tags import OBSERVING_MODE
from fits_dagster.metadata.pictures import Picture
from fits_dagster.metadata.tags import TagRule, always, equals
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import number

__all__ = ["Michelle"]

_DISPERSERS = ["Echelle", "LowN", "LowQ", "MedN1", "MedN2", "unknown"]
_SLITS = [
    "1_pixel",
    "2_pixels",
    "3_pixels",
    "4_pixels",
    "6_pixels",
    "8_pixels",
    "16_pixels",
    "pinholeMask",
    "None",
    "unknown",
]
_READ_MODES = ["CHOP", "NDCHOP", "STARE", "chop", "stare", "nod", "chop-nod"]
_FILTERS = [
    "blank",
    "BothBlanks",
    "Clear",
    "Clear_A",
    "F112B21",
    "F116B9",
    "F125B9",
    "F209B42L",
    "F66LB",
    "F86B2",
    "I103B10",
    "I105B53",
    "I107B4",
    "I112B21",
    "I116B9",
    "I125B9",
    "I128B2",
    "I185B9",
    "I198B27",
    "I209B42",
    "I79B10",
    "I86B2",
    "I88B10",
    "I97B10",
    "IP103B10",
    "IP112B21",
    "IP116B9",
    "IP125B9",
    "IP185B9",
    "IP198B27",
    "IP79B10",
    "IP88B10",
    "IP97B10",
    "NPBlock",
    "Poly",
    "QBlock",
]
_NO_VALUE = "No Value"


class Michelle(Translator):
    """Rules of Michelle."""

    instrume = ("MICHELLE",)
    picture = Picture.CHOP_NOD
    keywords: ClassVar = {
        "central_wavelength": ("GRATPOS",),
        "coadds": ("NUMEXPOS",),
        "disperser": ("GRATNAME",),
        "exposure_time": ("EXPOSURE",),
        "filters": ("FILTER",),
        "focal_plane_mask": ("SLITNAME",),
        "read_mode": ("MODE",),
    }
    without_rules = frozenset({OBSERVING_MODE})
    table = "michelle"
    columns = ("disperser", "filter_name", "read_mode", "focal_plane_mask")
    column_values: ClassVar = {
        "disperser": frozenset([*_DISPERSERS, _NO_VALUE]),
        "filter_name": frozenset([*_FILTERS, _NO_VALUE]),
        "read_mode": frozenset(_READ_MODES),
        "focal_plane_mask": frozenset([*_SLITS, _NO_VALUE]),
    }
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("MICHELLE",), always),
        TagRule(("IMAGE",), equals("CAMERA", "imaging")),
        TagRule(("SPECT", "LS"), equals("CAMERA", "spectroscopy")),
    )

    def exposure_time(self) -> float | None:
        """Return the exposure of one frame times extensions times coadds, seconds."""
        seconds, coadds = self.single_exposure(), self.coadds()
        if seconds is None or coadds is None:
            return None
        extensions = number(self.primary, "NUMEXT")
        return seconds * (1 if extensions is None else extensions) * coadds

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the filter; NBlock is blank."""
        name = self.component("filters", pretty=pretty)
        return "blank" if name == "NBlock" else name
