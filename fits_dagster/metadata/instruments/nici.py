"""NICI. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.tags import TagRule, all_of, always, contains, equals
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import number, text, without_id

__all__ = ["Nici"]

_HALF = contains("DICHROIC", "50/50")


class Nici(Translator):
    """Rules of NICI; each of its two extensions has a filter of its own."""

    instrume = ("NICI",)
    keywords: ClassVar = {
        "camera": ("INSTRUME",),
        "disperser": ("DICHROIC",),
        "focal_plane_mask": ("FPMW",),
    }
    sums_coadds = False
    table = "nici"
    columns = ("filter_name", "focal_plane_mask", "disperser")
    column_values: ClassVar = {
        "disperser": frozenset(
            {
                "Block",
                "H-50/50_G5701",
                "H-CH4-Dichroic_G5704",
                "H/K-Dichroic_G5705",
                "Mirror_G5702",
                "Open",
            }
        ),
        "focal_plane_mask": frozenset(
            {
                "Clear_G5710",
                "F0.22_G5715",
                "F0.32_G5714",
                "F0.46_G5713",
                "F0.65_G5712",
                "F0.90_G5711",
                "Grid_G5716",
            }
        ),
    }
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("NICI", "IMAGE"), always),
        TagRule(("DARK", "CAL"), equals("OBSTYPE", "DARK")),
        TagRule(("FLAT", "CAL"), equals("OBSTYPE", "FLAT"), removes=frozenset({"SDI", "ASDI"})),
        TagRule(("ADI_B",), contains("DICHROIC", "Mirror")),
        TagRule(("ADI_R",), contains("DICHROIC", "Open")),
        TagRule(("SDI",), all_of(_HALF, equals("CRMODE", "FOLLOW"))),
        TagRule(("ASDI",), all_of(_HALF, equals("CRMODE", "FIXED"))),
    )

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the filters of the extensions in file order, joined by ``+``."""
        names = [text(cards, "FILTER_R", "FILTER_B") for cards in self.extensions]
        shown = [without_id(name) if pretty else name for name in names if name is not None]
        return "+".join(shown) or None

    def single_exposure(self) -> float | None:
        """Return the integration time of the blue channel, or of the red where that is zero."""
        return number(self.primary, "ITIME_B") or number(self.primary, "ITIME_R")
