"""GNIRS. Source: Gemini header conventions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final

from fits_dagster.metadata.coordinates import separation, target_with_offsets
from fits_dagster.metadata.header_values import HeaderValues
from fits_dagster.metadata.tags import TagRule, all_of, always, contains, equals, has_value, no
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import as_text, number, text, whole, without_id

__all__ = ["Gnirs"]

_READ_MODES: Final = {
    # (LNRS, NDAVGS)
    (32, 16): "Very Faint Objects",
    (16, 16): "Faint Objects",
    (1, 16): "Bright Objects",
    (1, 1): "Very Bright Objects",
}
#: Size of the bias voltage DETBIAS at the well depths, volt.
_WELL_DEPTHS: Final = {"Shallow": 0.3, "Deep": 0.6}
_WELL_TOLERANCE: Final = 0.1
#: A WCS farther than this from the target is of another pointing, degrees.
_WRONG_WCS: Final = 1000.0 / 3600.0
_GRATING: Final = re.compile(r"(\d+/mm)[A-Za-z]*(_G\d+)?")
_PRISM: Final = re.compile(r"(?:\w*\+)?(\w*?)(_G\d+)")
#: Words that name a mask when slit and decker both have them, in this order.
_COMMON_MASKS: Final = ("HR-IFU", "LR-IFU", "IFU", "Acq")


def _spectrum(subject: HeaderValues) -> tuple[str, ...]:
    slit, grating, prism = (as_text(subject.tag_value(key)) or "" for key in ("SLIT", "GRATING", "PRISM"))
    if "ifu" in slit.lower():
        return ("SPECT", "IFU")
    if ("arcsec" in slit.lower() or "pin" in slit.lower()) and "mm" in grating:
        return ("SPECT", *_slit_kind(prism))
    return ("SPECT",)


def _through_slit(subject: HeaderValues) -> tuple[str, ...]:
    return ("THRUSLIT", *_slit_kind(as_text(subject.tag_value("PRISM")) or ""))


def _slit_kind(prism: str) -> tuple[str, ...]:
    if "MIR" in prism:
        return ("LS",)
    return ("XD",) if "XD" in prism else ()


_FLAT = equals("OBSTYPE", "FLAT")
_PINHOLES = contains("SLIT", "Pinholes")


class Gnirs(Translator):
    """Rules of GNIRS."""

    instrume = ("GNIRS",)
    keywords: ClassVar = {"central_wavelength": ("GRATWAVE",)}
    filter_wavelengths: ClassVar = {
        "YPHOT": 1.03,
        "X": 1.1,
        "X_(order_6)": 1.1,
        "JPHOT": 1.25,
        "J_(order_5)": 1.27,
        "H": 1.63,
        "H_(order_4)": 1.63,
        "H2": 2.125,
        "K_(order_3)": 2.195,
        "KPHOT": 2.22,
        "PAH": 3.295,
        "L": 3.5,
        "L_(order_2)": 3.5,
        "M": 5.1,
        "M_(order_1)": 5.1,
    }
    table = "gnirs"
    columns = (
        "disperser",
        "filter_name",
        "read_mode",
        "well_depth_setting",
        "camera",
        "focal_plane_mask",
        "array_name",
        "prism_motor_steps",
    )
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("GNIRS",), always),
        TagRule(("DARK", "CAL"), equals("OBSTYPE", "DARK"), blocks=frozenset({"IMAGE", "SPECT"})),
        TagRule(("ARC", "CAL"), equals("OBSTYPE", "ARC")),
        TagRule(("IMAGE",), equals("ACQMIR", "In")),
        TagRule(_through_slit, no(contains("SLIT", "Acq")), if_present=frozenset({"IMAGE"})),
        TagRule(_spectrum, equals("ACQMIR", "Out")),
        TagRule(
            ("PINHOLE", "CAL"),
            all_of(_FLAT, _PINHOLES),
            removes=frozenset({"GCALFLAT"}),
            blocks=frozenset({"FLAT"}),
        ),
        TagRule(("FLAT", "CAL"), all_of(_FLAT, no(_PINHOLES))),
        TagRule(("STANDARD", "CAL"), has_value("PROCSTND")),
    )

    def disperser(self, *, pretty: bool) -> str | None:
        """Return the grating, with the prism if there is one in the beam, or MIRROR."""
        if text(self.primary, "ACQMIR") == "In":
            return "MIRROR"
        grating = _GRATING.match(text(self.primary, "GRATING") or "")
        prism = _PRISM.match(text(self.primary, "PRISM") or "")
        if grating is None or prism is None:
            return None
        parts = [found[1] if pretty else f"{found[1]}{found[2] or ''}" for found in (grating, prism)]
        return parts[0] if parts[1].startswith("MIR") else "&".join(parts)

    def focal_plane_mask(self, *, pretty: bool) -> str | None:
        """Return slit and decker, in short if pretty."""
        slit, decker = self._slide("SLIT", pretty=pretty), self._slide("DECKER", pretty=pretty)
        if slit is None or decker is None:
            return None
        if pretty:
            if "Long" in decker:
                return slit
            if "XD" in decker:
                return f"{slit}XD"
            for word in _COMMON_MASKS:
                if word in slit and word in decker:
                    return word
        return f"{slit}&{decker}"

    def _slide(self, key: str, *, pretty: bool) -> str | None:
        name = text(self.primary, key)
        if name is None:
            return None
        shown = (without_id(name) if pretty else name).replace(" ", "").replace("Acquisition", "Acq")
        return "1.00arcsec" + shown.removeprefix("1.0arcsec") if shown.startswith("1.0arcsec") else shown

    def read_mode(self) -> str:
        """Return the read mode, by the numbers of reads and averages where it is not named."""
        named = text(self.primary, "READMODE")
        if named is not None:
            return named
        reads, averages = whole(self.primary, "LNRS"), whole(self.primary, "NDAVGS")
        return _READ_MODES.get((reads or 0, averages or 0), "Unknown")

    def well_depth(self) -> str | None:
        """Return the well depth by the size of the bias voltage."""
        bias = number(self.primary, "DETBIAS")
        if bias is None:
            return None
        for depth, voltage in _WELL_DEPTHS.items():
            if abs(abs(bias) - voltage) < _WELL_TOLERANCE:
                return depth
        return None

    def position(self) -> tuple[float | None, float | None]:
        """Return the WCS, unless it is far from the target: then it is of another pointing."""
        ra, dec = super().position()
        if ra is None or dec is None or self.wcs_position() is None:
            return ra, dec
        target = target_with_offsets(self.primary, self.instant)
        if target is not None and separation((ra, dec), target) > _WRONG_WCS:
            return target
        return ra, dec

    def column_array_name(self) -> str | None:
        """Return the array, with its controller if that is named."""
        array, controller = text(self.primary, "ARRAYID"), text(self.primary, "CONID")
        return f"{array}+{controller}" if array and controller else array

    def column_prism_motor_steps(self) -> int | None:
        """Return the position of the prism turret."""
        return whole(self.primary, "PRSM_ENG")
