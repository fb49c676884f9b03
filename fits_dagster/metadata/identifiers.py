"""Program identifiers, observation identifiers and data labels. Source: Gemini header conventions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["ProgramId", "is_data_label", "is_observation_id", "parse_program_id"]

_FORMS: Final = (
    re.compile(r"G-(?P<semester>20\d\d[AB])-(?P<kind>CAL|ENG|COM|MON)-\w+-\d+", re.ASCII),
    re.compile(r"G(?P<site>[NS])-(?P<kind>CAL|ENG)(?P<date>20\d\d[01]\d[0123]\d)", re.ASCII),
    re.compile(r"G(?P<site>[NS])-(?P<semester>20\d\d[AB])-(?P<kind>CAL|ENG)-\d+", re.ASCII),
    re.compile(r"(?P<kind>CAL|ENG)(?P<date>20\d\d[01]\d[0123]\d)", re.ASCII),
    re.compile(r"G(?P<site>[NS])-(?P<semester>20\d\d[AB])-(?P<kind>Q|C|SV|QS|DD|LP|FT|DS)-\d+", re.ASCII),
    re.compile(r"G-(?P<semester>20\d\d[AB])-\d+-(?P<new_kind>[CDFLQSVP])", re.ASCII),
)
#: Letters of the new science form, as the kinds of the old one.
_NEW_KINDS: Final = {"C": "C", "D": "DD", "F": "FT", "L": "LP", "Q": "Q", "S": "DS", "V": "SV", "P": "PW"}
_PROGRAM: Final = "(?:" + "|".join(re.sub(r"\?P<\w+>", "?:", form.pattern) for form in _FORMS) + ")"
_OBSERVATION: Final = re.compile(_PROGRAM + r"-\d+", re.ASCII)
_LABEL: Final = re.compile(_PROGRAM + r"-\d+-\d+(?:-\d+)?(?:-[A-Za-z][\w-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProgramId:
    """What a valid program identifier tells."""

    text: str
    #: CAL, ENG, COM, MON, or a science kind: Q, C, SV, QS, DD, LP, FT, DS, PW.
    kind: str
    #: ``N`` or ``S``; None in forms without site.
    site: str | None
    #: For instance ``2011A``; None in forms by date.
    semester: str | None

    @property
    def is_engineering(self) -> bool:
        """Whether it is an engineering program."""
        return self.kind == "ENG"

    @property
    def is_calibration(self) -> bool:
        """Whether it is a calibration program."""
        return self.kind == "CAL"

    @property
    def is_science_verification(self) -> bool:
        """Whether it is a science verification program."""
        return self.kind == "SV"


def parse_program_id(text: str) -> ProgramId | None:
    """Return what a program identifier tells, or None if it has none of the valid forms.

    Parameters
    ----------
    text : str
        The whole identifier; blanks at both ends are ignored.
    """
    text = text.strip()
    for form in _FORMS:
        if found := form.fullmatch(text):
            parts = found.groupdict()
            kind = parts.get("kind") or _NEW_KINDS[parts["new_kind"]]
            return ProgramId(text, kind, parts.get("site"), parts.get("semester"))
    return None


def is_observation_id(text: str) -> bool:
    """Tell whether the text is a program identifier, a hyphen and a number."""
    return bool(_OBSERVATION.fullmatch(text.strip()))


def is_data_label(text: str) -> bool:
    """Tell whether the text is an observation identifier, a number or two, and maybe an extension."""
    return bool(_LABEL.fullmatch(text.strip()))
