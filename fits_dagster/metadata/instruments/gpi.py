"""GPI. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fits_dagster.metadata.coordinates import target_with_offsets
from fits_dagster.metadata.tags import TagRule, always, starts
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import number

__all__ = ["Gpi"]


class Gpi(Translator):
    """Rules of GPI."""

    instrume = ("GPI",)
    keywords: ClassVar = {
        "filters": ("IFSFILT",),
        "focal_plane_mask": ("OCCULTER",),
        "pupil_mask": ("APODIZER",),
    }
    table = "gpi"
    columns = (
        "filter_name",
        "disperser",
        "focal_plane_mask",
        "pupil_mask",
        "astrometric_standard",
        "wollaston",
        "prism",
    )
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("GPI",), always),
        TagRule(("POL",), starts("DISPERSR", "DISP_WOLLASTON")),
        TagRule(("SPECT", "IFU"), starts("DISPERSR", "DISP_PRISM")),
    )

    def single_exposure(self) -> float | None:
        """Return the integration time of extension 0, seconds."""
        return None if self.first_extension is None else number(self.first_extension, "ITIME")

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the filter of the integral field spectrograph."""
        name = self.component("filters", pretty=pretty)
        return name.removeprefix("IFSFILT_") if pretty and name is not None else name

    def position(self) -> tuple[float | None, float | None]:
        """Return the target with offsets."""
        return target_with_offsets(self.primary, self.instant) or (None, None)

    def to_central_wavelength(self) -> None:
        """Leave it null: it is never stored for this instrument."""

    def column_astrometric_standard(self) -> bool | None:
        """Return whether the target is an astrometric standard."""
        found = self.primary.get("ASTROMTC")
        return found if isinstance(found, bool) else None

    def column_wollaston(self) -> bool:
        """Return whether the disperser is the Wollaston prism."""
        return "WOLLASTON" in (self.disperser(pretty=False) or "")

    def column_prism(self) -> bool:
        """Return whether the disperser is the prism."""
        return "PRISM" in (self.disperser(pretty=False) or "")
