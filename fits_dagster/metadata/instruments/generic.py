"""Fallback for FITS files of no known observatory: plain keywords, no tags, nothing refused."""

from __future__ import annotations

from fits_dagster.metadata.coordinates import keyword_position
from fits_dagster.metadata.translator import Translator

__all__ = ["Generic"]


class Generic(Translator):
    """Rules for a file that no class of rules claims."""

    observatory = None
    tags = frozenset()

    def position(self) -> tuple[float | None, float | None]:
        """Return the reference point of the WCS, else the keywords."""
        return self.wcs_position() or keyword_position(self.primary)
