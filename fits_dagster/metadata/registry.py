"""Which class of rules serves a file.

The instruments of this package are known by name and imported when first needed. Other packages add
their own through the entry point group ``fits_dagster.instruments``; these come first, so that a site
can also replace a class of this package.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from fits_dagster.fits.hdu import HDU

from .translator import Translator
from .values import text
from .vocabulary import OFFICIAL_INSTRUMENTS, official_instrument

__all__ = [
    "ENTRY_POINT_GROUP",
    "instrument_names",
    "known_instruments",
    "plug_ins",
    "register",
    "telescope_names",
    "translator_class",
    "translator_for",
]

ENTRY_POINT_GROUP: Final = "fits_dagster.instruments"

#: ``INSTRUME`` in upper case to module and class below `instruments`.
_OWN: Final = {
    "GMOS-N": "gmos:Gmos",
    "GMOS-S": "gmos:Gmos",
    "NIRI": "niri:Niri",
    "GNIRS": "gnirs:Gnirs",
    "F2": "f2:F2",
    "FLAM": "f2:F2",
    "NIFS": "nifs:Nifs",
    "GSAOI": "gsaoi:Gsaoi",
    "GPI": "gpi:Gpi",
    "GHOST": "ghost:Ghost",
    "IGRINS": "igrins:Igrins",
    "IGRINS-2": "igrins2:Igrins2",
    "MAROON-X": "maroonx:MaroonX",
    "ALOPEKE": "speckle:Alopeke",
    "ZORRO": "speckle:Zorro",
    "NICI": "nici:Nici",
    "MICHELLE": "michelle:Michelle",
    "TRECS": "trecs:Trecs",
    "BHROS": "bhros:Bhros",
    "PHOENIX": "phoenix:Phoenix",
    "HRWFS": "hrwfs:Hrwfs",
    "OSCIR": "oscir:Oscir",
    "FLAMINGOS": "flamingos:Flamingos",
    "CIRPASS": "cirpass:Cirpass",
    "TEXES": "texes:Texes",
    "GRACES": "graces:Graces",
    "HOKUPAA+QUIRC": "hokupaa:HokupaaQuirc",
    "ABU": "abu:Abu",
    "GS_ALLSKYCAMERA": "skycamera:SkyCamera",
}
_GEMINI_SITES: Final = frozenset({"GEMINI-NORTH", "GEMINI-SOUTH"})
_SKY_CAMERA: Final = "GS_ALLSKYCAMERA"
_log = logging.getLogger(__name__)
_registered: dict[str, type[Translator]] = {}


def register(translator: type[Translator]) -> type[Translator]:
    """Make a class serve the instruments that it names; also usable as a decorator.

    Parameters
    ----------
    translator : type
        Its ``instrume`` lists values of the keyword INSTRUME in upper case.
    """
    for name in translator.instrume:
        _registered[name.upper()] = translator
    return translator


def known_instruments() -> list[str]:
    """Return the values of INSTRUME, upper case, that have rules of their own, sorted."""
    return sorted({*_OWN, *_registered, *plug_ins()})


def translator_for(hdus: Sequence[HDU], filename: str) -> Translator:
    """Choose the rules for a file.

    Parameters
    ----------
    hdus : sequence of HDU
        Primary first; at least one.
    filename : str
        Name of the file.

    Returns
    -------
    Translator
        Of the instrument; else Gemini in general if the file names a Gemini site; else the
        generic fallback, which reads plain keywords and gives no tags.
    """
    for name in _names(hdus):
        chosen = translator_class(name)
        if chosen is not Translator:
            return chosen(hdus, filename)
    primary = hdus[0].cards
    sites = {(text(primary, key) or "").upper() for key in ("OBSERVAT", "TELESCOP")}
    if sites & _GEMINI_SITES:
        return Translator(hdus, filename)
    from .instruments.generic import Generic

    return Generic(hdus, filename)


def _names(hdus: Sequence[HDU]) -> list[str]:
    primary = hdus[0].cards
    if (text(primary, "TELESCOP") or "").replace('"', "").strip() == _SKY_CAMERA:
        return [_SKY_CAMERA]
    named = [text(primary, "INSTRUME")]
    if len(hdus) > 1 and (text(hdus[1].cards, "INSTRUME") or "").upper().strip() == "IGRINS":
        named.append("IGRINS")
    return [official_instrument(name).upper() for name in named if name]


@cache
def _own(name: str) -> type[Translator] | None:
    place = _OWN.get(name)
    if place is None:
        return None
    module, _, attribute = place.partition(":")
    found: type[Translator] = getattr(import_module(f"{__package__}.instruments.{module}"), attribute)
    return found


@cache
def plug_ins() -> Mapping[str, type[Translator]]:
    """Return the classes of other packages by the values of INSTRUME, upper case, that they serve."""
    found: dict[str, type[Translator]] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            translator: type[Translator] = point.load()
            found |= {name.upper(): translator for name in translator.instrume}
        except Exception:  # a broken plug-in must not stop the ingest of other instruments
            _log.exception("instrument plug-in %s (%s) cannot be loaded", point.name, point.value)
    return found


def translator_class(instrument: str | None) -> type[Translator]:
    """Return the rules of an instrument by its name, in any case; the general ones where it has none."""
    name = (instrument or "").upper()
    return _registered.get(name) or plug_ins().get(name) or _own(name) or Translator


def instrument_names() -> Iterator[str]:
    """Yield the official spellings of instruments, for searches."""
    yield from OFFICIAL_INSTRUMENTS
    for translator in (*plug_ins().values(), *_registered.values()):
        yield from translator.names


def telescope_names() -> Iterator[str]:
    """Yield the official spellings of telescopes, for searches."""
    yield from Translator.telescopes
    for translator in (*plug_ins().values(), *_registered.values()):
        yield from translator.telescopes
