"""GSAOI. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from fits_dagster.metadata.common_tags import LAMPS
from fits_dagster.metadata.pictures import Picture
from fits_dagster.metadata.tags import TagRule, always, contains, equals
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import whole

from .gmos import reference_values

__all__ = ["Gsaoi"]

#: By the number of reads, LNRS.
_READ_SPEEDS: Final = {2: "Bright Objects", 8: "Faint Objects", 16: "Very Faint Objects"}


class Gsaoi(Translator):
    """Rules of GSAOI."""

    instrume = ("GSAOI",)
    picture = Picture.ARRAYS
    keywords: ClassVar = {"camera": ("DETECTOR",), "central_wavelength": ("WAVELENG",)}
    wavelength_unit = 1e-4
    sums_coadds = False
    without_rules = frozenset({LAMPS})
    filter_wavelengths: ClassVar = {
        "Z": 1.015,
        "HeI1083": 1.083,
        "PaG": 1.094,
        "Jcont": 1.207,
        "PaB": 1.282,
        "Hcont": 1.57,
        "CH4short": 1.58,
        "CH4long": 1.69,
        "H2O": 2.0,
        "HeI-2p2s": 2.058,
        "Kcntshrt": 2.093,
        "Kprime": 2.12,
        "H2(1-0)": 2.122,
        "Kshort": 2.15,
        "H2(2-1)": 2.248,
        "BrG": 2.166,
        "Kcntlong": 2.27,
        "CO2360": 2.36,
    }
    table = "gsaoi"
    columns = ("filter_name", "read_mode")
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("GSAOI",), always),
        TagRule(("DARK", "CAL"), equals("OBSTYPE", "DARK"), blocks=frozenset({"IMAGE"})),
        TagRule(("IMAGE",), always),
        TagRule(("IMAGE", "FLAT", "CAL"), equals("OBSTYPE", "FLAT")),
        TagRule(("IMAGE", "DOMEFLAT", "FLAT", "CAL"), contains("OBJECT", "domeflat", any_case=True)),
        TagRule(("IMAGE", "TWILIGHT", "FLAT", "CAL"), contains("OBJECT", "twilight", any_case=True)),
        TagRule(("LAMPON",), equals("OBJECT", "DOMEFLAT", any_case=True)),
        TagRule(("LAMPOFF",), equals("OBJECT", "DOMEFLAT OFF", any_case=True)),
    )

    def read_speed(self) -> str:
        """Return the read speed by the number of reads."""
        return _READ_SPEEDS.get(whole(self.primary, "LNRS") or 0, "Unknown")

    def to_detector_readspeed_setting(self) -> None:
        """Leave it null: the speeds of this instrument are not in the archive's list."""

    def position(self) -> tuple[float | None, float | None]:
        """Return the reference values of the WCS, else the keywords; never converted."""
        return reference_values(self)
