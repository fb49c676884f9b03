"""NIRI. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from fits_dagster.metadata.tags import TagRule, all_of, always, contains, equals, has_value, no
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import text, whole, without_id

__all__ = ["Niri"]

_READ_MODES: Final = {
    # (LNRS, NDAVGS)
    (16, 16): "Low Background",
    (1, 16): "Medium Background",
    (1, 1): "High Background",
}
#: Bias voltage (A_VDDUC - A_VDET) of the well depths, volt.
_WELL_DEPTHS: Final = {"Shallow": -0.6, "Deep": -0.87}
_WELL_TOLERANCE: Final = 0.05
_FULL_FRAME: Final = 1024
_REGION_STEP: Final = 256
_NOT_FILTERS: Final = ("open", "grism", "pupil")
#: Names of the filters in the beam, sorted and joined, to the name of the combination.
_FILTERS: Final = {
    "PK50&Y": "Y",
    "J": "J",
    "H": "H",
    "Kprime": "K(prime)",
    "K": "K",
    "Lprime": "L(prime)",
    "Mprime": "M(prime)",
    "Jcon(121)&PK50": "Jcon(121)",
    "Hcon(157)&PK50": "H-con(157)",
    "CH4short&PK50": "CH4(short)",
    "CH4long&PK50": "CH4(long)",
    "FeII&PK50": "FeII",
    "HeI(2p2s)&Kprime": "HeI(2p2s)",
    "H2Oice204": "H2Oice(2045)",
    "kcon(209)": "Kcon(209)",
    "kcon(227)": "Kcon(227)",
    "H2v=1-0S1&K": "H2 1-0 S1",
    "Brgamma": "Br(gamma)",
    "CH4ice227": "CH4ice(2275)",
    "Jsort": "J order sort",
    "Hsort&PK50": "H order sort",
    "Ksort": "K order sort",
    "Lsort": "L order sort",
    "Msort": "M order sort",
    "Jcon1065&PK50": "Jcon(1065)",
    "Jcon(112)&PK50": "Jcon(112)",
    "Kshort": "K(short)",
    "H2v=2-1S1": "H2 2-1 S1",
    "PK50&Pabeta": "Pa(beta)",
    "PaGamma": "Pa(gamma)",
    "HeI": "HeI",
    "Bra": "Br(alpha)",
    "H2Oice": "H2O ice",
    "hydrocarb": "hydrocarb",
    "Bracont": "Br(alpha)Con",
    "COv=2-0bh": "CO 2-0 (bh)",
}
_F6_CENTRED: Final = {"Jgrism": 1.233, "Hgrism": 1.695, "Kgrism": 2.263, "Lgrism": 3.574, "Mgrism": 5.14}
_F6_BLUE: Final = {"Jgrism": 1.184, "Hgrism": 1.625, "Kgrism": 2.167, "Lgrism": 3.435, "Mgrism": 4.94}
_F32: Final = {"Jgrism": 1.203, "Hgrism": 1.6412, "Kgrism": 2.184}
#: Camera and mask to grism to central wavelength, micron.
_CENTRAL_WAVELENGTHS: Final = {
    **{("f6", f"f6-{width}pix"): _F6_CENTRED for width in (2, 4, 6)},
    **{("f6", f"f6-{width}pixBl"): _F6_BLUE for width in (2, 4, 6)},
    **{("f32", mask): _F32 for mask in ("f32-6pix", "f32-9pix", "f6-2pix")},
}

_GRISM = contains("FILTER3", "grism")
_IMAGE = all_of(has_value("FILTER3"), no(_GRISM))


class Niri(Translator):
    """Rules of NIRI."""

    instrume = ("NIRI",)
    keywords: ClassVar = {"filters": ("FILTER1", "FILTER2", "FILTER3")}
    filter_wavelengths: ClassVar = {
        "Jcon(1065)": 1.065,
        "HeI": 1.083,
        "Pa(gamma)": 1.094,
        "Jcon(112)": 1.122,
        "Jcon(121)": 1.207,
        "Pa(beta)": 1.282,
        "H-con(157)": 1.57,
        "CH4(short)": 1.58,
        "H": 1.65,
        "CH4(long)": 1.69,
        "H2Oice(2045)": 2.045,
        "HeI(2p2s)": 2.059,
        "Kcon(209)": 2.0975,
        "K(prime)": 2.12,
        "H2 1-0 S1": 2.1239,
        "K(short)": 2.15,
        "H2 2-1 S1": 2.2465,
        "Br(gamma)": 2.1686,
        "Kcon(227)": 2.2718,
        "CH4ice(2275)": 2.275,
        "CO 2-0 (bh)": 2.289,
        "H2Oice": 3.05,
        "hydrocarb": 3.295,
        "L(prime)": 3.78,
        "Br(alpha)Con": 3.99,
        "Br(alpha)": 4.052,
        "M(prime)": 4.68,
    }
    table = "niri"
    columns = (
        "disperser",
        "filter_name",
        "read_mode",
        "well_depth_setting",
        "data_section",
        "camera",
        "focal_plane_mask",
    )
    column_values: ClassVar = {
        "disperser": frozenset(
            {
                "Hgrismf32_G5228",
                "Hgrism_G5203",
                "Jgrismf32_G5226",
                "Jgrism_G5202",
                "Kgrismf32_G5227",
                "Kgrism_G5204",
                "Lgrism_G5205",
                "Mgrism_G5206",
                "MIRROR",
            }
        ),
        "camera": frozenset({"datum", "f13.9", "f14", "f32", "f6", "INVALID", "No Value", "UNKNOWN"}),
    }
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("NIRI",), always),
        TagRule(("DARK", "CAL"), equals("OBSTYPE", "DARK"), blocks=frozenset({"SPECT", "IMAGE"})),
        TagRule(("ARC",), equals("OBSTYPE", "ARC")),
        TagRule(("CAL", "FLAT"), equals("OBSTYPE", "FLAT")),
        TagRule(("IMAGE",), _IMAGE),
        TagRule(
            ("IMAGE", "CAL", "FLAT", "TWILIGHT"), all_of(_IMAGE, equals("OBJECT", "TWILIGHT", any_case=True))
        ),
        TagRule(("SPECT", "LS"), _GRISM),
    )

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the name of the combination of the three filter wheels."""
        names = [text(self.primary, key) for key in self.keywords["filters"]]
        present = [name for name in names if name is not None]
        if len(present) < len(names):
            return None
        shown = [without_id(name) if pretty else name for name in present]
        kept = sorted(name for name in shown if not any(part in name.lower() for part in _NOT_FILTERS))
        if any(without_id(name) == "blank" for name in kept):
            return "blank"
        joined = "&".join(kept) or "open"
        return _FILTERS.get(joined, joined) if pretty else joined

    def disperser(self, *, pretty: bool) -> str | None:
        """Return the grism, or MIRROR."""
        return self._third_wheel("grism" in self._third(), pretty=pretty)

    def pupil_mask(self, *, pretty: bool) -> str | None:
        """Return the pupil mask, or MIRROR."""
        return self._third_wheel(self._third().startswith("pup"), pretty=pretty)

    def _third(self) -> str:
        return text(self.primary, "FILTER3") or ""

    def _third_wheel(self, applies: bool, *, pretty: bool) -> str | None:
        name = self._third()
        if not name:
            return None
        if not applies:
            return "MIRROR"
        return without_id(name) if pretty else name

    def central_wavelength(self) -> float | None:
        """Return the wavelength in the middle of the array, micron, by camera, mask and grism."""
        place = (self.camera(pretty=True) or "", self.focal_plane_mask(pretty=True) or "")
        return _CENTRAL_WAVELENGTHS.get(place, {}).get(self._third()[:6])

    def read_mode(self) -> str:
        """Return the background mode by the numbers of reads and averages."""
        reads, averages = whole(self.primary, "LNRS"), whole(self.primary, "NDAVGS")
        return _READ_MODES.get((reads or 0, averages or 0), "Unknown")

    def well_depth(self) -> str | None:
        """Return the well depth by the bias voltage; a voltage written as text gives none."""
        high, low = self.primary.get("A_VDDUC"), self.primary.get("A_VDET")
        if not isinstance(high, int | float) or not isinstance(low, int | float):
            return None
        for depth, bias in _WELL_DEPTHS.items():
            if abs(high - low - bias) < _WELL_TOLERANCE:
                return depth
        return None

    def to_detector_roi_setting(self) -> str | None:
        """Return the region by the shape of the array, a square from the corner."""
        if not self.images or len(self.images[0].shape) < 2:
            return None
        height, width = self.images[0].shape[-2:]
        if height != width or not width or width % _REGION_STEP:
            return "Custom"
        return "Full Frame" if width == _FULL_FRAME else f"Central{width}"

    def column_data_section(self) -> str | None:
        """Return the section of extension 0 as text."""
        if not self.images:
            return None
        written = text(self.extensions[0], "DATASEC")
        shape = self.images[0].shape
        return written or (f"[1:{shape[-1]},1:{shape[-2]}]" if len(shape) > 1 else None)
