"""Words and numbers common to all instruments: official names, bands, effective wavelengths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = [
    "BAND_CENTRES",
    "FILTER_WAVELENGTHS",
    "OFFICIAL_INSTRUMENTS",
    "nearest_band",
    "official_instrument",
    "official_telescope",
]

#: Instrument names in official spelling.
OFFICIAL_INSTRUMENTS: Final = (
    "NIRI",
    "NIFS",
    "GMOS-N",
    "GMOS-S",
    "michelle",
    "GNIRS",
    "GHOST",
    "PHOENIX",
    "TEXES",
    "TReCS",
    "NICI",
    "IGRINS-2",
    "IGRINS",
    "GSAOI",
    "OSCIR",
    "F2",
    "GPI",
    "ABU",
    "bHROS",
    "hrwfs",
    "FLAMINGOS",
    "CIRPASS",
    "GRACES",
    "ALOPEKE",
    "ZORRO",
    "MAROON-X",
)
_OFFICIAL: Final = {name.lower(): name for name in OFFICIAL_INSTRUMENTS}
_HOKUPAA: Final = re.compile(r"hokupaa+\+?quirc")

#: Centres of the wavelength bands, micron; the nearest one names the band.
BAND_CENTRES: Final[Mapping[str, float]] = {
    "None": 0.0,
    "u": 0.35,
    "g": 0.475,
    "r": 0.63,
    "i": 0.78,
    "Z": 0.9,
    "Y": 1.02,
    "X": 1.1,
    "J": 1.2,
    "H": 1.65,
    "K": 2.2,
    "L": 3.4,
    "M": 4.8,
    "N": 11.7,
    "Q": 18.3,
}

#: Effective wavelengths of filters that mean the same at every instrument, micron.
FILTER_WAVELENGTHS: Final[Mapping[str, float]] = {
    "u": 0.35,
    "g": 0.475,
    "r": 0.63,
    "i": 0.78,
    "z": 0.925,
    "Y": 1.02,
    "J": 1.25,
    "H": 1.635,
    "K": 2.2,
    "FeII": 1.644,
}


def official_instrument(name: str) -> str:
    """Return an instrument's name in official spelling; unknown names are kept as they are."""
    folded = name.strip().lower()
    if _HOKUPAA.fullmatch(folded):
        return "Hokupaa+QUIRC"
    return _OFFICIAL.get(folded, name.strip())


def official_telescope(name: str, telescopes: Iterable[str]) -> str | None:
    """Return the one of some telescopes that is meant; letter case, hyphens and underscores do not count."""
    return next((each for each in telescopes if _folded(each) == _folded(name)), None)


def _folded(name: str) -> str:
    return name.strip().lower().replace("-", "").replace("_", "")


def nearest_band(wavelength: float) -> str:
    """Return the band whose centre is nearest to a wavelength in micron."""
    return min(BAND_CENTRES, key=lambda band: abs(BAND_CENTRES[band] - wavelength))
