"""IGRINS-2. Source: Gemini header conventions."""

from __future__ import annotations

from fits_dagster.metadata.translator import Translator

__all__ = ["Igrins2"]


class Igrins2(Translator):
    """Rules of IGRINS-2; the two arms are extensions 0 and 1."""

    instrume = ("IGRINS-2",)

    def single_exposure(self) -> float | None:
        """Return the longer exposure of the two arms, seconds."""
        times = [seconds for seconds in self.extension_numbers("EXPTIME")[:2] if seconds is not None]
        return max(times) if times else super().single_exposure()

    def filter_name(self, *, pretty: bool) -> None:
        """Return None: both bands are in one file."""
