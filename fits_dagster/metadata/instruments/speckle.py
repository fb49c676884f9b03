"""The speckle imagers Alopeke and Zorro. Source: Gemini header conventions."""

from __future__ import annotations

from typing import ClassVar, Final

from fits_dagster.fits.cards import Cards
from fits_dagster.metadata.coordinates import keyword_position
from fits_dagster.metadata.record import ENUMS
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import number, text

__all__ = ["Alopeke", "Speckle", "Zorro"]

#: Spellings of the axis types; one of them is a slip that made it into many files.
_RA_TYPES: Final = frozenset({"RA---TAN", "RA--TAN"})
_DEC_TYPES: Final = frozenset({"DEC--TAN"})


class Speckle(Translator):
    """Rules of both imagers; what their early headers lack has a default."""

    #: Site of the imager, where the header does not name it.
    home: ClassVar[str]

    def filter_name(self, *, pretty: bool) -> None:
        """Return None: the archive does not keep the filters of the arms."""

    def position(self) -> tuple[float | None, float | None]:
        """Return the reference values of the axes, which are often swapped, else the keywords."""
        ra, dec = self._axis(_RA_TYPES), self._axis(_DEC_TYPES)
        plain_ra, plain_dec = keyword_position(self.primary)
        return (plain_ra if ra is None else ra, plain_dec if dec is None else dec)

    def _axis(self, types: frozenset[str]) -> float | None:
        places: list[Cards | None] = [self.first_extension, self.primary]
        for cards in places:
            for axis in (1, 2) if cards is not None else ():
                if cards is not None and text(cards, f"CTYPE{axis}") in types:
                    return number(cards, f"CRVAL{axis}")
        return None

    def to_telescope(self) -> str | None:
        """Return the site, by default the home of the imager."""
        return super().to_telescope() or self.home

    def to_observation_type(self) -> str:
        """Return the kind in upper case, by default OBJECT."""
        named = (self.keyword_text("observation_type") or "").strip().upper()
        return named if named in ENUMS["observation_type"] else "OBJECT"

    def to_observation_class(self) -> str:
        """Return the class, by default science."""
        return super().to_observation_class() or "science"

    def to_observation_id(self) -> str | None:
        """Return the observation, by default the zeroth of the program."""
        if (named := super().to_observation_id()) is not None:
            return named
        program = self.to_program_id()
        return f"{program}-0" if program else None

    def to_data_label(self) -> str | None:
        """Return the data label, by default the zeroth of the observation."""
        if (named := super().to_data_label()) is not None:
            return named
        observation = self.to_observation_id()
        return f"{observation}-0" if observation else None


class Alopeke(Speckle):
    """The imager in the North."""

    instrume = ("ALOPEKE",)
    home = "Gemini-North"


class Zorro(Speckle):
    """The imager in the South."""

    instrume = ("ZORRO",)
    home = "Gemini-South"
