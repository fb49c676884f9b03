"""NIFS. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from fits_dagster.metadata.tags import TagRule, all_of, always, equals
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import whole

__all__ = ["Nifs"]

#: By the number of reads, LNRS.
_READ_MODES: Final = {1: "Bright Object", 4: "Medium Object", 16: "Faint Object"}


class Nifs(Translator):
    """Rules of NIFS."""

    instrume = ("NIFS",)
    keywords: ClassVar = {
        "camera": ("INSTRUME",),
        "central_wavelength": ("GRATWAVE",),
        "disperser": ("GRATING",),
        "filters": ("FILTER",),
        "focal_plane_mask": ("APERTURE",),
    }
    table = "nifs"
    columns = ("disperser", "filter_name", "read_mode", "focal_plane_mask")
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("NIFS",), always),
        TagRule(("DARK", "CAL"), equals("OBSTYPE", "DARK"), blocks=frozenset({"IMAGE", "SPECT"})),
        TagRule(("IMAGE",), equals("FLIP", "In")),
        TagRule(("SPECT", "IFU"), equals("FLIP", "Out")),
        TagRule(("ARC", "CAL"), equals("OBSTYPE", "ARC")),
        TagRule(
            ("RONCHI", "CAL"), all_of(equals("OBSTYPE", "FLAT"), equals("APERTURE", "Ronchi_Screen_G5615"))
        ),
    )

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the filter; Blocked is blank."""
        name = self.component("filters", pretty=pretty)
        return "blank" if name == "Blocked" else name

    def read_mode(self) -> str:
        """Return the read mode by the number of reads."""
        return _READ_MODES.get(whole(self.primary, "LNRS") or 0, "Unknown")
