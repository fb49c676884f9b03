"""FLAMINGOS-2. Source: Gemini header conventions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import ClassVar, Final

from fits_dagster.metadata.header_values import HeaderValues
from fits_dagster.metadata.tags import TagRule, all_of, always, any_of, equals, has_value, no, starts
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import as_text, number, text, without_id

__all__ = ["F2"]

#: What the Lyot wheel holds when it is no filter.
_NOT_FILTERS: Final = ("f", "GEMS", "Hart", "Undefined")
_FIXED_WAVELENGTHS: Final = {"K-long_G0812": 2.2, "JH_G0816": 1.3385, "HK_G0817": 1.9}
#: With R3K and no wavelength in the header, by the first letter of the filter.
_R3K_WAVELENGTHS: Final = {"J": 1.25, "H": 1.65, "K": 2.2}
_FOCUS: Final = re.compile(r"f/\d+")
#: Pixels larger than this are those of f/16, arc seconds.
_F16_ABOVE: Final = 0.1
_PIX_SLIT: Final = re.compile(r".?pix-slit")

_OPEN_GRISM = any_of(equals("GRISM", "Open"), equals("GRISMPOS", "Open"))
_SPECTRUM = any_of(starts("GRISM", "JH", "HK", "R3K"), starts("GRISMPOS", "JH", "HK", "R3K"))
_TWILIGHT = equals("OBJECT", "TWILIGHT", any_case=True)


def _has_pix_slit(subject: HeaderValues) -> bool:
    return bool(_PIX_SLIT.match(as_text(subject.tag_value("MOSPOS")) or ""))


_SLIT = any_of(equals("DECKER", "Long_slit"), equals("DCKERPOS", "Long_slit"), _has_pix_slit)
_MASK = any_of(equals("DECKER", "mos"), equals("DCKERPOS", "mos"), starts("MOSPOS", "mos"))
_IMAGE_FIRST = frozenset({"IMAGE"})


class F2(Translator):
    """Rules of FLAMINGOS-2."""

    instrume = ("F2", "FLAM")
    keywords: ClassVar = {
        "central_wavelength": ("WAVELENG",),
        "disperser": ("GRISM",),
        "focal_plane_mask": ("MASKNAME",),
        "read_mode": ("LNRS",),
    }
    wavelength_unit = 1e-4
    filter_wavelengths: ClassVar = {
        "Jlow": 1.122,
        "JH": 1.39,
        "H": 1.631,
        "HK": 1.871,
        "K-blue": 2.06,
        "Ks": 2.157,
        "K-red": 2.31,
        "Klong": 2.2,
        "K-long": 2.2,
    }
    table = "f2"
    columns = ("disperser", "filter_name", "lyot_stop", "read_mode", "focal_plane_mask")
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("F2",), always),
        TagRule(
            ("DARK", "CAL"),
            any_of(equals("OBSTYPE", "DARK"), starts("FILTER1", "DK"), starts("FILTER2", "DK")),
            blocks=frozenset({"IMAGE", "SPECT"}),
        ),
        TagRule(("IMAGE",), _OPEN_GRISM),
        TagRule(("LS", "SPECT"), all_of(_SLIT, _SPECTRUM)),
        TagRule(("LS", "THRUSLIT"), all_of(_SLIT, no(_SPECTRUM)), if_present=_IMAGE_FIRST),
        TagRule(("MOS", "SPECT"), all_of(_MASK, _SPECTRUM)),
        TagRule(("MOS", "THRUSLIT"), all_of(_MASK, no(_SPECTRUM)), if_present=_IMAGE_FIRST),
        TagRule(("ARC", "CAL"), equals("OBSTYPE", "ARC")),
        TagRule(("FLAT", "CAL"), equals("OBSTYPE", "FLAT")),
        TagRule(("TWILIGHT", "CAL"), all_of(_TWILIGHT, equals("GRISM", "Open"))),
        TagRule(
            ("TWILIGHT", "CAL"), all_of(_TWILIGHT, no(equals("GRISM", "Open"))), blocks=frozenset({"FLAT"})
        ),
        TagRule(("STANDARD", "CAL"), has_value("PROCSTND")),
    )

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the filters of both wheels, and of the Lyot wheel where that holds one."""
        names = self._filters()
        if names is None:
            return None
        if any("DK" in name for name in names):
            return "dark"
        if any("Block" in name or "Dark" in name for name in names):
            return "blank"
        shown = [without_id(name) if pretty else name for name in names if "open" not in name.lower()]
        return "&".join(shown) or "open"

    def _filters(self) -> list[str] | None:
        """Return the names in the wheels, with ids; keywords were others before March 2010."""
        for keys in (("FILTER1", "FILTER2"), ("FILT1POS", "FILT2POS")):
            names = [text(self.primary, key) for key in keys]
            present = [name for name in names if name is not None]
            if len(present) == len(names):
                lyot = self.lyot_stop()
                if lyot is not None and not lyot.startswith(_NOT_FILTERS):
                    present.append(lyot)
                return present
        return None

    def lyot_stop(self) -> str | None:
        """Return what is in the Lyot wheel, with its id."""
        return text(self.primary, "LYOT", "LYOTPOS")

    def central_wavelength(self) -> float | None:
        """Return the central wavelength in micron, fixed for some filters."""
        names = self._filters() or []
        for name in names:
            if name in _FIXED_WAVELENGTHS:
                return _FIXED_WAVELENGTHS[name]
        written = self.keyword_number("central_wavelength")
        if written is not None and written < 0 and (self.disperser(pretty=True) or "").startswith("R3K"):
            return _R3K_WAVELENGTHS.get((self.filter_name(pretty=True) or "")[:1])
        return super().central_wavelength()

    def focal_plane_mask(self, *, pretty: bool) -> str | None:
        """Return the mask, or Open."""
        if text(self.primary, "MOSPOS") == "Open":
            return "Open"
        return super().focal_plane_mask(pretty=pretty)

    def camera(self, *, pretty: bool) -> str | None:
        """Return the focal ratio, by the Lyot wheel, the focus, or the size of the pixels."""
        lyot = self.lyot_stop() or ""
        if lyot.startswith("f/"):
            return without_id(lyot) if pretty else lyot
        focus = text(self.primary, "FOCUS") or ""
        if _FOCUS.fullmatch(focus):
            return focus
        scale = self._pixel_scale()
        if scale is None:
            return None
        return "f/16" if scale > _F16_ABOVE else "f/32"

    def _pixel_scale(self) -> float | None:
        """Return the size of a pixel in arc seconds by the WCS."""
        for cards in (self.first_extension, self.primary):
            if cards is None:
                continue
            terms = [number(cards, f"CD{axes}") for axes in ("1_1", "1_2", "2_1", "2_2")]
            values = [float(term) for term in terms if term is not None]
            if len(values) == len(terms):
                return 1800.0 * (math.hypot(*values[:2]) + math.hypot(*values[2:]))
        return None

    def column_lyot_stop(self) -> str | None:
        """Return what is in the Lyot wheel."""
        return self.lyot_stop()
