"""FLAMINGOS. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from fits_dagster.metadata.tags import TagRule, all_of, always, contains, equals, has_value, no
from fits_dagster.metadata.translator import Translator

__all__ = ["Flamingos"]

_NOT_DISPERSERS: Final = ("open", "dark")
#: The archive's central wavelength of all spectra, micron.
_CENTRAL_WAVELENGTH: Final = 1.5

_IMAGE = equals("BIAS", 1.0)


class Flamingos(Translator):
    """Rules of FLAMINGOS.

    The files have no RA and DEC, so positions are those of the WCS.
    """

    instrume = ("FLAMINGOS",)
    keywords: ClassVar = {"disperser": ("GRISM",), "exposure_time": ("EXP_TIME",), "filters": ("FILTER",)}
    sums_coadds = False
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("FLAMINGOS",), always),
        TagRule(("IMAGE",), _IMAGE),
        TagRule(("SPECT",), all_of(has_value("BIAS"), no(_IMAGE))),
        TagRule(("FLAT", "CAL"), contains("OBJECT", "flat", any_case=True)),
        TagRule(("TWILIGHT", "CAL"), contains("OBJECT", "twilight", any_case=True)),
        TagRule(("DARK", "CAL"), contains("OBJECT", "dark", any_case=True)),
    )

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the filter."""
        return self.component("filters", pretty=pretty)

    def disperser(self, *, pretty: bool) -> str | None:
        """Return the grism, if it is one."""
        name = self.component("disperser", pretty=pretty)
        return None if name is None or any(word in name.lower() for word in _NOT_DISPERSERS) else name

    def central_wavelength(self) -> float:
        """Return the fixed central wavelength, micron."""
        return _CENTRAL_WAVELENGTH
