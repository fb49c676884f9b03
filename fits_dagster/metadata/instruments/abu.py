"""ABU. Source: Gemini header conventions."""

from __future__ import annotations

from fits_dagster.metadata.translator import Translator

__all__ = ["Abu"]


class Abu(Translator):
    """Rules of ABU: those of Gemini in general."""

    instrume = ("ABU",)
