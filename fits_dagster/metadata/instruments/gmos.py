"""GMOS-N and GMOS-S. Source: Gemini header conventions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final

from fits_dagster.fits.cards import Cards
from fits_dagster.metadata.common_tags import LAMPS
from fits_dagster.metadata.coordinates import keyword_position
from fits_dagster.metadata.header_values import HeaderValues
from fits_dagster.metadata.pictures import Picture
from fits_dagster.metadata.spectrophotometric import standard_at
from fits_dagster.metadata.tags import TagRule, all_of, always, any_of, contains, equals, keyword, no
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import as_text, number, text, whole, without_id

__all__ = ["Gmos", "reference_values"]

#: Detector type to the limit of AMPINTEG above which the detector is read slowly.
_SLOW_ABOVE: Final = {
    "SDSU II CCD": 2000,
    "SDSU II e2v DD CCD42-90": 2000,
    "S10892": 8000,
    "S10892-N": 8000,
}
#: Gains below this are of the low gain setting.
_LOW_GAIN_BELOW: Final = 3.0
_ONESLIT_BLUE, _ONESLIT_RED, _TWOSLIT = "ONESLIT_BLUE", "ONESLIT_RED", "TWOSLIT"
_IFU_MASKS: Final = {
    "IFU-B": _ONESLIT_BLUE,
    "IFU-B-NS": _ONESLIT_BLUE,
    "IFU-R": _ONESLIT_RED,
    "IFU-R-NS": _ONESLIT_RED,
    "IFU-2": _TWOSLIT,
    "IFU-NS-2": _TWOSLIT,
}
_IFU_MDF: Final = re.compile(r"g[ns]ifu_slit([rbs])_mdf")
_IFU_SLITS: Final = {"b": _ONESLIT_BLUE, "r": _ONESLIT_RED, "s": _TWOSLIT}
#: Regions of interest: unbinned y from, y to, x from, x to; zero based, end not included.
_REGIONS: Final = {
    (0, 4608, 0, 6144): "Full Frame",
    (0, 4224, 0, 6144): "Full Frame",
    (0, 4608, 2048, 4096): "CCD2",
    (0, 4224, 2048, 4096): "CCD2",
    (1792, 2816, 0, 6144): "Central Spectrum",
    (1791, 2815, 0, 6144): "Central Spectrum",
    (1624, 2648, 0, 6144): "Central Spectrum",
    (2154, 2454, 2922, 3222): "Central Stamp",
    (1986, 2286, 2922, 3222): "Central Stamp",
    (1986, 2294, 2922, 3222): "Central Stamp",
}

_BIAS = equals("OBSTYPE", "BIAS")
_BPM = any_of(equals("OBSTYPE", "BPM"), keyword("BPMASK"))
_MIRROR = equals("GRATING", "MIRROR")
_SPECTRUM = no(any_of(equals("MASKTYP", 0), equals("MASKNAME", "None"), _MIRROR))
_HARTMANN = any_of(contains("FILTER1", "Hartmann"), contains("FILTER2", "Hartmann"))
_TWILIGHT = equals("OBJECT", "TWILIGHT", any_case=True)


def _mask_name(subject: HeaderValues) -> str:
    return as_text(subject.tag_value("MASKNAME")) or ""


def _is_long_slit_mask(subject: HeaderValues) -> bool:
    return _mask_name(subject).endswith("arcsec")


def _is_cut_mask(subject: HeaderValues) -> bool:
    name = _mask_name(subject)
    return not (name.startswith(("IFU", "focus")) or name.endswith("arcsec"))


def _ifu(subject: HeaderValues) -> tuple[str, ...]:
    name = _mask_name(subject)
    mdf = _IFU_MDF.match(name)
    slits = _IFU_SLITS[mdf[1]] if mdf else _IFU_MASKS.get(name)
    return ("IFU", slits) if slits else ()


def _is_standard_star(subject: HeaderValues) -> bool:
    ra, dec = keyword_position(subject.primary)
    name = subject.keyword_text("object")
    if ra is None or dec is None or name is None:
        return False
    return standard_at((ra, dec), name, subject.instant) is not None


class Gmos(Translator):
    """Rules of both GMOS."""

    instrume = ("GMOS-N", "GMOS-S")
    picture = Picture.AMPLIFIERS
    keywords: ClassVar = {
        "camera": ("INSTRUME",),
        "central_wavelength": ("CENTWAVE", "GRWLEN"),
        "disperser": ("GRATING",),
        "focal_plane_mask": ("MASKNAME",),
    }
    wavelength_unit = 1e-3
    sums_coadds = False
    without_rules = frozenset({LAMPS})
    filter_wavelengths: ClassVar = {
        "HeII": 0.468,
        "HeIIC": 0.478,
        "OIII": 0.499,
        "OIIIC": 0.514,
        "Ha": 0.656,
        "HaC": 0.662,
        "SII": 0.672,
        "OVIC": 0.679,
        "OVI": 0.6838,
        "ri": 0.7054,
        "CaT": 0.86,
        "Z": 0.876,
        "DS920": 0.92,
        "Y": 1.01,
    }
    table = "gmos"
    columns = (
        "disperser",
        "filter_name",
        "detector_x_bin",
        "detector_y_bin",
        "array_name",
        "amp_read_area",
        "read_speed_setting",
        "gain_setting",
        "focal_plane_mask",
        "nodandshuffle",
        "nod_count",
        "nod_pixels",
        "prepared",
        "overscan_subtracted",
        "overscan_trimmed",
        "grating_order",
    )
    column_values: ClassVar = {
        "read_speed_setting": frozenset({"slow", "fast"}),
        "gain_setting": frozenset({"low", "high"}),
    }
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("GMOS",), always),
        TagRule(("DARK", "CAL"), equals("OBSTYPE", "DARK"), blocks=frozenset({"IMAGE", "SPECT"})),
        TagRule(("ARC", "CAL"), equals("OBSTYPE", "ARC")),
        TagRule(("BIAS", "CAL"), _BIAS, blocks=frozenset({"IMAGE", "SPECT"})),
        TagRule(
            ("GCALFLAT", "FLAT", "CAL"), all_of(equals("OBSTYPE", "FLAT"), no(all_of(_MIRROR, _HARTMANN)))
        ),
        TagRule(("TWILIGHT", "CAL", "FLAT"), all_of(_TWILIGHT, no(_SPECTRUM))),
        TagRule(("TWILIGHT", "CAL", "SLITILLUM"), all_of(_TWILIGHT, _SPECTRUM)),
        TagRule(("DOMEFLAT", "CAL", "FLAT"), equals("OBJECT", "DOMEFLAT", any_case=True)),
        TagRule(("STANDARD", "CAL"), all_of(_SPECTRUM, equals("OBSTYPE", "OBJECT"), _is_standard_star)),
        TagRule(("PROCESSED", "STANDARD", "CAL"), keyword("SENSFUNC"), blocks=frozenset({"RAW"})),
        TagRule(_ifu, all_of(equals("MASKTYP", -1), no(_BIAS))),
        TagRule(("IMAGE",), _MIRROR),
        TagRule(("SPECT",), no(_MIRROR)),
        TagRule(("THRUSLIT",), no(equals("MASKTYP", 0)), if_present=frozenset({"IMAGE"})),
        TagRule(("LS",), all_of(equals("MASKTYP", 1), _is_long_slit_mask, no(_BIAS), no(_BPM))),
        TagRule(("MOS",), all_of(equals("MASKTYP", 1), _is_cut_mask, no(_BIAS))),
        TagRule(("NODANDSHUFFLE",), keyword("NODPIX")),
    )

    def disperser(self, *, pretty: bool) -> str | None:
        """Return the grating, pretty without its id and without ``+`` at the ends."""
        grating = self.keyword_text("disperser")
        return without_id(grating).strip("+") if pretty and grating is not None else grating

    def focal_plane_mask(self, *, pretty: bool) -> str | None:
        """Return the mask; without one it is called Imaging."""
        mask = self.component("focal_plane_mask", pretty=pretty)
        return "Imaging" if mask == "None" else mask

    def central_wavelength(self) -> float | None:
        """Return the central wavelength in micron; zero is none."""
        return super().central_wavelength() or None

    def x_bin(self) -> int | None:
        """Return the binning in x if all extensions agree."""
        return self._ccdsum(0)

    def y_bin(self) -> int | None:
        """Return the binning in y if all extensions agree."""
        return self._ccdsum(1)

    def _ccdsum(self, axis: int) -> int | None:
        found = [_binning(text(cards, "CCDSUM"), axis) for cards in self.extensions]
        # the archive compares the list with its mirror image
        return found[0] if found and found == found[::-1] else None

    def read_speed(self) -> str | None:
        """Return slow or fast by the integration time of the amplifiers."""
        limit = _SLOW_ABOVE.get(text(self.primary, "DETTYPE") or "")
        integration = number(self.primary, "AMPINTEG")
        if limit is None or integration is None:
            return None
        return "slow" if integration > limit else "fast"

    def gain_setting(self) -> str | None:
        """Return low or high as all extensions but at most one have it."""
        if text(self.primary, "DETTYPE") not in _SLOW_ABOVE:
            return None
        return _agreed(self._gain_settings())

    def _gain_settings(self) -> list[str | None]:
        if self.is_prepared:
            named = [text(cards, "GAINSET") for cards in self.extensions]
            if any(named):
                return named
            for key in ("GAINORIG", "GAINMULT"):
                gains = self.extension_numbers(key)
                # a gain of one stands for data that were multiplied by it already
                if any(gain is not None and gain != 1 for gain in gains):
                    return [_setting_of(gain) for gain in gains]
        return [_setting_of(gain) for gain in self.extension_numbers("GAIN")]

    def read_mode(self) -> str:
        """Return the archive's read mode."""
        return "NodAndShuffle" if "NODANDSHUFFLE" in self.tags else "Classic"

    def to_detector_roi_setting(self) -> str | None:
        """Return the name of the first requested region."""
        x, width, y, height = (whole(self.primary, f"DETRO1{part}") for part in ("X", "XS", "Y", "YS"))
        x_bin, y_bin = self.x_bin(), self.y_bin()
        if not (x and width and y and height):
            return "Undefined"
        if x_bin is None or y_bin is None:
            return None
        # the size in the header is in binned pixels, the corner is not
        region = (y - 1, y - 1 + height * y_bin, x - 1, x - 1 + width * x_bin)
        return _REGIONS.get(region, "Custom")

    def position(self) -> tuple[float | None, float | None]:
        """Return the reference values of the WCS, else the keywords; never converted."""
        return reference_values(self)

    def column_array_name(self) -> str | None:
        """Return the amplifier names of the extensions, joined by ``+``."""
        names = [text(cards, "AMPNAME") for cards in self.extensions]
        return "+".join(name for name in names if name) or None

    def column_amp_read_area(self) -> str | None:
        """Return amplifier name and detector section of each extension, joined by ``+``."""
        areas = [(text(cards, "AMPNAME"), text(cards, "DETSEC")) for cards in self.extensions]
        return "+".join(f"'{name}':{section}" for name, section in areas if name and section) or None

    def column_nod_count(self) -> int | None:
        """Return the number of cycles in the A position."""
        return whole(self.primary, "ANODCNT")

    def column_nod_pixels(self) -> int | None:
        """Return the shuffle distance in detector rows."""
        return whole(self.primary, "NODPIX")

    def column_grating_order(self) -> int | None:
        """Return the order of the grating."""
        return whole(self.primary, "GRORDER")


def reference_values(subject: HeaderValues) -> tuple[float | None, float | None]:
    """Return CRVAL1 and CRVAL2 where the axes are a tangent projection, else RA and DEC, degrees.

    Keywords that extension 0 lacks are those of the primary header.
    """
    ra, dec = keyword_position(subject.primary)
    if _nearest(subject, "CTYPE1").get("CTYPE1") == "RA---TAN":
        ra = number(_nearest(subject, "CRVAL1"), "CRVAL1")
    if _nearest(subject, "CTYPE2").get("CTYPE2") == "DEC--TAN":
        dec = number(_nearest(subject, "CRVAL2"), "CRVAL2")
    return ra, dec


def _nearest(subject: HeaderValues, key: str) -> Cards:
    """Return the header of extension 0 if it has the keyword, else the primary."""
    first = subject.first_extension
    return first if first is not None and key in first else subject.primary


def _binning(value: str | None, axis: int) -> int | None:
    parts = (value or "").split()
    return int(parts[axis]) if len(parts) > axis and parts[axis].isdigit() else None


def _setting_of(gain: float | int | None) -> str | None:
    if gain is None:
        return None
    return "low" if gain < _LOW_GAIN_BELOW else "high"


def _agreed(settings: list[str | None]) -> str | None:
    if not settings:
        return None
    (setting, count), *_ = Counter(settings).most_common(1)
    return setting if count >= len(settings) - 1 and 2 * count > len(settings) else None
