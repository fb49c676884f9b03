"""Tag rules of all Gemini instruments, as data. Source: classification rules of the reference system."""

from __future__ import annotations

from typing import Final

from .tags import (
    Subject,
    TagRule,
    all_of,
    always,
    any_of,
    equals,
    has_value,
    keyword,
    keyword_containing,
    no,
    starts,
)
from .values import as_number, as_text

__all__ = ["COMMON_RULES", "LAMPS", "OBSERVING_MODE"]

#: Purposes of groups of common rules that instruments replace.
LAMPS: Final = "infrared lamps"
OBSERVING_MODE: Final = "observing mode"

_FLAT_LAMP = any_of(equals("GCALLAMP", "IRhigh"), starts("GCALLAMP", "QH"))
_ANY_IR_LAMP = any_of(equals("GCALLAMP", "IRhigh", "IRlow"), starts("GCALLAMP", "QH"))
_OPEN = equals("GCALSHUT", "OPEN")
_CLOSED = equals("GCALSHUT", "CLOSED")
_TOPOCENTRIC = equals("FRAME", "AZEL_TOPO")
_SKY_FRAME = any_of(equals("TRKFRAME", "FK5", "APPT"), equals("FRAME", "FK5", "APPT"))


def _observing_mode(subject: Subject) -> tuple[str, ...]:
    mode = (as_text(subject.tag_value("OBSMODE")) or "").upper()
    return (mode,) if mode == "IMAGE" else (mode, "SPECT")


def _tracks_the_sky(subject: Subject) -> bool:
    rates = [as_number(subject.tag_value(key)) for key in ("DECTRACK", "RATRACK")]
    return rates == [0, 0]


COMMON_RULES: Final = (
    TagRule(("GEMINI",), always),
    TagRule(("ACQUISITION",), equals("OBSCLASS", "acq", "acqCal")),
    TagRule(("AZEL_TARGET",), _TOPOCENTRIC),
    TagRule(("AT_ZENITH",), all_of(_TOPOCENTRIC, lambda subject: subject.airmass() == 1.0)),
    TagRule(("FRINGE", "CAL"), keyword("GIFRINGE", "PROCFRNG")),
    TagRule(("GCALFLAT", "FLAT", "CAL"), _FLAT_LAMP),
    TagRule(
        ("GCAL_IR_ON", "LAMPON"),
        all_of(_ANY_IR_LAMP, _OPEN),
        blocked_by=frozenset({"PROCESSED"}),
        purpose=LAMPS,
    ),
    TagRule(
        ("GCAL_IR_OFF", "LAMPOFF"),
        all_of(_ANY_IR_LAMP, _CLOSED),
        blocked_by=frozenset({"PROCESSED", "PINHOLE"}),
        purpose=LAMPS,
    ),
    TagRule(
        ("GCAL_IR_OFF", "LAMPOFF"),
        all_of(equals("GCALLAMP", "No Value"), _CLOSED),
        blocked_by=frozenset({"PROCESSED"}),
        purpose=LAMPS,
    ),
    TagRule(("NORTH",), equals("OBSERVAT", "Gemini-North", any_case=True)),
    TagRule(("SOUTH",), equals("OBSERVAT", "Gemini-South", any_case=True)),
    TagRule(_observing_mode, has_value("OBSMODE"), purpose=OBSERVING_MODE),
    TagRule(("NODCHOP",), equals("DATATYPE", "marked-nodandchop")),
    TagRule(("SIDEREAL",), all_of(_SKY_FRAME, _tracks_the_sky)),
    TagRule(("NON_SIDEREAL",), all_of(_SKY_FRAME, no(_tracks_the_sky))),
    TagRule(
        ("BPM", "CAL", "PROCESSED"),
        keyword("BPMASK", "PROCBPM"),
        blocks=frozenset(
            {
                "IMAGE",
                "SPECT",
                "NON_SIDEREAL",
                "AZEL_TARGET",
                "GCALFLAT",
                "LAMPON",
                "GCAL_IR_ON",
                "GCAL_IR_OFF",
                "DARK",
            }
        ),
    ),
    TagRule(("MASK",), equals("OBSTYPE", "MASK", any_case=True), blocks=frozenset({"IMAGE", "SPECT"})),
    TagRule(("RAW",), no(keyword("GEM-TLM"))),
    TagRule(("PREPARED",), keyword_containing("PREPAR")),
    TagRule(("UNPREPARED",), no(keyword_containing("PREPAR"))),
    TagRule(("OVERSCAN_TRIMMED",), keyword_containing("TRIMOVER")),
    TagRule(("OVERSCAN_SUBTRACTED",), keyword_containing("SUBOVER")),
    TagRule(
        ("PROCESSED",),
        keyword(
            "PROCARC",
            "GBIAS",
            "PROCBIAS",
            "PROCDARK",
            "GIFLAT",
            "PROCFLAT",
            "GIFRINGE",
            "PROCFRNG",
            "PROCPNHL",
            "PROCSTND",
            "PROCILLM",
        ),
    ),
    TagRule(
        ("PROCESSED_SCIENCE", "PROCESSED"),
        all_of(equals("OBSTYPE", "OBJECT"), keyword("GMOSAIC", "PROCSCI")),
        blocks=frozenset({"RAW"}),
    ),
    TagRule(("EXTRACTED",), keyword("EXTRACT")),
    TagRule(("TELLURIC", "CAL"), has_value("PROCTELL")),
)
