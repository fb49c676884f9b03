"""Fallback for FITS files of no known observatory: plain keywords, no tags, nothing refused."""

from __future__ import annotations

from fits_dagster.metadata.translator import Translator

__all__ = ["Generic"]


class Generic(Translator):
    """Rules for a file that no class of rules claims."""

    tags = frozenset()
