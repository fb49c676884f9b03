"""IGRINS. Source: Gemini header conventions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import ClassVar, Final

from fits_dagster.fits.cards import Value
from fits_dagster.metadata.coordinates import degrees_or_sexagesimal
from fits_dagster.metadata.tags import TagRule, always, equals
from fits_dagster.metadata.times import parse_date
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.values import as_number, as_text
from fits_dagster.metadata.vocabulary import official_telescope

__all__ = ["Igrins"]

_PROPRIETARY: Final = timedelta(days=365)
_TYPES: Final = {"STD": "OBJECT", "TAR": "OBJECT"}


class Igrins(Translator):
    """Rules of IGRINS; its keywords are in the primary header or in extension 0."""

    instrume = ("IGRINS",)
    keywords: ClassVar = {
        "airmass": ("AMSTART",),
        "observation_type": ("OBJTYPE",),
        "program_id": ("GEMPRGID", "GEMPRID", "PROGID"),
    }
    tag_rules: ClassVar[Sequence[TagRule]] = (
        TagRule(("IGRINS",), always),
        TagRule(("IMAGE", "ACQUISITION"), equals("BAND", "S")),
        TagRule(("DARK",), equals("OBJTYPE", "DARK"), blocks=frozenset({"IMAGE", "SPECT"})),
        TagRule(("ARC", "CAL"), equals("OBJTYPE", "ARC")),
        TagRule(("FLAT", "CAL"), equals("OBJTYPE", "FLAT")),
        TagRule(("STANDARD", "CAL"), equals("OBJTYPE", "STD")),
        TagRule(("SCIENCE",), equals("OBJTYPE", "TAR")),
    )

    def _value(self, key: str) -> Value:
        if key in self.primary or self.first_extension is None:
            return self.primary.get(key)
        return self.first_extension.get(key)

    def _text(self, key: str) -> str | None:
        return as_text(self._value(key))

    def tag_value(self, key: str) -> Value:
        """Return a keyword of the primary, else of extension 0."""
        return self._value(key)

    def keyword_text(self, name: str) -> str | None:
        """Return the first text of the keywords in either header."""
        return next((found for key in self.keywords[name] if (found := self._text(key))), None)

    def keyword_number(self, name: str) -> float | int | None:
        """Return the first number of the keywords in either header."""
        numbers = (as_number(self._value(key)) for key in self.keywords[name])
        return next((found for found in numbers if found is not None), None)

    def filter_name(self, *, pretty: bool) -> str | None:
        """Return the band of the arm."""
        return self._text("BAND")

    def position(self) -> tuple[float | None, float | None]:
        """Return the position of the object."""
        return (
            degrees_or_sexagesimal(self._value("OBJRA"), hours=True),
            degrees_or_sexagesimal(self._value("OBJDEC"), hours=False),
        )

    def to_wavelength_band(self) -> str | None:
        """Return the band of the arm."""
        return self._text("BAND")

    def to_telescope(self) -> str | None:
        """Return the site; its name has a blank here."""
        named = self._text("TELESCOP")
        return official_telescope(named.replace(" ", "-"), self.telescopes) if named else None

    def to_object(self) -> str | None:
        """Return the name of the object."""
        return self._text("OBJECT")

    def to_observation_id(self) -> str | None:
        """Return the observation; a bare number counts within the program."""
        program, named = self.to_program_id(), self._text("OBSID")
        if named is not None and named.strip().isdigit():
            return f"{program}-{named.strip()}" if program else None
        if named is None or named.upper() == program:
            return f"{program}-0" if program else None
        return named.upper()

    def to_data_label(self) -> str | None:
        """Return the data label, by default the zeroth of the observation."""
        named = self._text("DATALAB")
        if named is not None:
            return named.upper()
        observation = self.to_observation_id()
        return f"{observation}-0" if observation else None

    def to_observation_type(self) -> str | None:
        """Return the kind; standards and targets are objects."""
        named = self.keyword_text("observation_type")
        return _TYPES.get(named, named) if named else None

    def to_observation_class(self) -> str | None:
        """Return the class by the kind of the object, else by the slit view band."""
        kind = self.keyword_text("observation_type") or ""
        if "TAR" in kind:
            return "science"
        if "STD" in kind:
            return "partnerCal"
        return "acq" if "S" in (self._text("BAND") or "") else None

    def to_release(self) -> date | None:
        """Return the release date, by default a year after the observation."""
        if (written := super().to_release()) is not None:
            return written
        observed = parse_date(self._text("DATE-OBS") or "")
        return observed + _PROPRIETARY if observed is not None else None
