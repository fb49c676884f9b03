"""MAROON-X. Source: Gemini header conventions."""

from __future__ import annotations

from fits_dagster.metadata.translator import Translator

__all__ = ["MaroonX"]


class MaroonX(Translator):
    """Rules of MAROON-X: those of Gemini in general, without filters and central wavelength."""

    instrume = ("MAROON-X",)

    def filter_name(self, *, pretty: bool) -> None:
        """Return None: there are no filters."""

    def central_wavelength(self) -> None:
        """Return None: both arms are in one file."""
