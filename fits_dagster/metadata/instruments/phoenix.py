"""PHOENIX. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from fits_dagster.metadata.coordinates import keyword_position
from fits_dagster.metadata.tags import TagRule, always, contains
from fits_dagster.metadata.times import utdate_and_ut
from fits_dagster.metadata.translator import Translator

__all__ = ["Phoenix"]


class Phoenix(Translator):
    """Rules of PHOENIX."""

    instrume = ("PHOENIX",)
    keywords: ClassVar = {"filters": ("FILT_POS",), "focal_plane_mask": ("SLIT_POS",)}
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("PHOENIX",), always),
        TagRule(("IMAGE",), contains("VIEW_POS", "image", any_case=True)),
        TagRule(("SPECT",), contains("VIEW_POS", "open", any_case=True)),
        TagRule(("DARK", "CAL"), contains("VIEW_POS", "dark", any_case=True), blocks=frozenset({"IMAGE"})),
        TagRule(("FLAT", "CAL"), contains("OBJECT", "flat", any_case=True)),
        TagRule(("ACQUISITION",), contains("OBJECT", "acq", any_case=True)),
    )

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the filter position as it is in the header."""
        return self.keyword_text("filters")

    def focal_plane_mask(self, *, pretty: bool) -> str | None:
        """Return the slit position as it is in the header."""
        return self.keyword_text("focal_plane_mask")

    def position(self) -> tuple[float | None, float | None]:
        """Return the keywords: RA as hours text, Dec as degrees text."""
        return keyword_position(self.primary)

    def find_instant(self) -> datetime | None:
        """Return UTDATE with UT first; DATE is the day on which the file was written."""
        found = utdate_and_ut(self.primary, self.first_extension, self.findings)
        return found or super().find_instant()
