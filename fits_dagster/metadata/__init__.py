"""From Gemini FITS headers to database records."""

from __future__ import annotations

from .description import Description, describe, summary
from .footprints import Footprint
from .registry import register, translator_for
from .translator import Translator

__all__ = ["Description", "Footprint", "Translator", "describe", "register", "summary", "translator_for"]
