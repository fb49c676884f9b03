"""Rules of single fields that need only keywords or tags. Source: Gemini header conventions."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final

from fits_dagster.fits.cards import Cards

from .record import ENUMS
from .values import text, without_id

__all__ = [
    "airmass_at",
    "gcal_lamp",
    "joined_filters",
    "mode",
    "pixels",
    "processing",
    "qa_state",
    "reduction",
    "single_precision",
    "wavefront_sensors",
]

_SOFTWARE_MODES: Final = {"ql": "Quick-Look", "sq": "Science-Quality"}
_SENSORS: Final = ("AOWFS", "OIWFS", "PWFS1", "PWFS2")
#: Names in the filter wheels that stand for no light, and what the archive calls them.
_DARKENED: Final = (("Block", "blank"), ("Dark", "blank"), ("DK", "dark"))
#: Kind tags of processed data in order of preference, and the keywords that name the kind.
_PROCESSED_KINDS: Final = {
    "FLAT": ("PROCFLAT", "GIFLAT"),
    "BIAS": ("PROCBIAS", "GBIAS"),
    "FRINGE": ("PROCFRNG", "GIFRINGE"),
    "DARK": ("PROCDARK",),
    "ARC": ("PROCARC",),
    "SCIENCE": ("PROCSCI",),
    "STANDARD": ("PROCSTND", "SENSFUNC"),
    "SLITILLUM": ("PROCILLM",),
    "BPM": ("PROCBPM", "BPMASK"),
    "PINHOLE": ("PROCPNHL",),
    "TELLURIC": ("PROCTELL",),
}


def joined_filters(names: Sequence[str], *, pretty: bool) -> str:
    """Return the filters that shape the light, at most two, joined by ``&``.

    Parameters
    ----------
    names : sequence of str
        Names in the filter wheels, with ids.
    pretty : bool
        Whether ids are cut off.
    """
    shown = [without_id(name) if pretty else name for name in names]
    kept = [
        name
        for name in shown
        if "open" not in name.lower() and "Clear" not in name and not name.lower().startswith("nd")
    ] or ["open"]
    for part, word in _DARKENED:
        if any(part in name for name in names):
            kept.append(word)
    return "&".join(kept[:2])


def single_precision(value: float | None) -> float | None:
    """Return the number with the digits that single precision keeps."""
    if value is None:
        return None
    try:
        return float(f"{struct.unpack('f', struct.pack('f', value))[0]:.7g}")
    except OverflowError:
        return None


def airmass_at(elevation: float | None) -> float | None:
    """Return the plane-parallel airmass at an elevation in degrees."""
    if elevation is None:
        return None
    cosine = math.cos(math.radians(90.0 - elevation))
    return 1 / cosine if cosine > 0 else None


def processing(primary: Cards) -> str:
    """Return how far the data are processed, by review, intent or software mode."""
    for key in ("PROCREVW", "PROCITNT"):
        named = text(primary, key)
        if named in ENUMS["processing"]:
            return named
    return _SOFTWARE_MODES.get(text(primary, "PROCMODE", "PROCSCI") or "", "Raw")


def mode(tags: frozenset[str]) -> str:
    """Return the observing mode by tags; of LS, MOS, IFU the first in this order wins."""
    if {"GPI", "POL"} <= tags:
        return "IFP"
    if "SPECT" not in tags:
        return "imaging"
    for tag, value in (("LS", "LS"), ("MOS", "MOS"), ("IFU", "IFS")):
        if tag in tags:
            return value
    return "spectroscopy"


def wavefront_sensors(primary: Cards) -> str | None:
    """Return the guiding wavefront sensors, sorted, joined by ``&``."""
    guiding = [name for name in _SENSORS if text(primary, f"{name}_ST") == "guiding"]
    if "GWFS1CFG" in primary:
        guiding.append("GEMS")
    return "&".join(sorted(guiding)) or None


def gcal_lamp(primary: Cards) -> str | None:
    """Return the calibration lamp, ``Off``, or None where the unit is not described."""
    if "GCALLAMP" not in primary or "GCALSHUT" not in primary:
        return None
    lamp = text(primary, "GCALLAMP")
    if lamp is None or lamp.lower() == "no value":
        return "Off"
    if (text(primary, "GCALSHUT") or "").upper() == "CLOSED" and lamp in ("IRhigh", "IRlow"):
        return "Off"
    return lamp


def qa_state(primary: Cards, observation_type: str | None) -> str:
    """Return the quality assessment by what the PI asked for and what the observatory found."""
    if observation_type == "MASK":
        return "Pass"
    asked = (text(primary, "RAWPIREQ") or "UNKNOWN").upper()
    found = (text(primary, "RAWGEMQA") or "UNKNOWN").upper()
    if "UNKNOWN" in (asked, found):
        return "Undefined"
    if found == "USABLE" and asked in ("YES", "NO"):
        return "Pass" if asked == "YES" else "Usable"
    if found == "BAD":
        return "Fail"
    return "CHECK" if "CHECK" in (asked, found) else "Undefined"


def reduction(tags: frozenset[str], primary: Cards) -> str:
    """Return the state of reduction by tags; of several kinds the one a keyword names is taken."""
    if "PROCESSED_SCIENCE" in tags:
        return "PROCESSED_SCIENCE"
    if "PROCESSED" in tags:
        kinds = [kind for kind in _PROCESSED_KINDS if kind in tags]
        named = [kind for kind in kinds if any(key in primary for key in _PROCESSED_KINDS[kind])]
        return f"PROCESSED_{(named or kinds or ['UNKNOWN'])[0]}"
    return "PREPARED" if "PREPARED" in tags else "RAW"


def pixels(shape: tuple[int, ...]) -> int:
    """Return the number of pixels of an array; no axes, no pixels."""
    return math.prod(shape) if shape else 0
