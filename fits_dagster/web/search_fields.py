"""The search form: its fields, what each writes into a selection, and what it shows of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fits_dagster.metadata.record import ENUMS
from fits_dagster.records.selection import GRAMMAR, BadSelectionError
from fits_dagster.records.selection.vocabulary import INSTRUMENTS, QA_STATES

__all__ = ["FIELDS", "GROUPS", "Field", "fields_of", "selection_of"]

#: Of the values of a select: value and words for people.
_Options = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of the form."""

    name: str
    label: str
    group: str
    #: Row of the grammar that it is about.
    key: str
    #: What stands before its value in an element; empty where the value is the element.
    prefix: str = ""
    hint: str = ""
    options: Callable[[], _Options] = field(default=lambda: ())
    #: Value of a new search.
    usual: str = ""
    #: Column of the record whose values of late are proposed.
    setting: str = ""


def _words(*texts: str) -> Callable[[], _Options]:
    return lambda: [(text, text) for text in texts]


def _instruments() -> _Options:
    return [("GMOS", "GMOS (both)"), *((name, name) for name in sorted(INSTRUMENTS) if name != "GMOS")]


_QA: Final = {
    "NotFail": "not failed",
    "Win": "pass or usable",
    "Lucky": "pass or undefined",
    "AnyQA": "any",
}


def _qa_states() -> _Options:
    known = [(state, state.lower()) for state in QA_STATES if state not in (*_QA, "Undefind", "Undefined")]
    return [*_QA.items(), *known]


def _setting(
    name: str, label: str, key: str, prefix: str, setting: str, hint: str = "", group: str = "Settings"
) -> Field:
    return Field(name=name, label=label, group=group, key=key, prefix=prefix, setting=setting, hint=hint)


GROUPS: Final = ("Target", "When", "Program", "Kind", "Instrument", "Settings", "More")
FIELDS: Final[Sequence[Field]] = (
    Field(
        name="object",
        label="Object, as the observer wrote it",
        group="Target",
        key="object",
        prefix="object=",
        hint="NGC 1234, or NGC*",
    ),
    Field(
        name="ra", label="Right ascension", group="Target", key="ra", prefix="ra=", hint="47.5 or 03:10:00"
    ),
    Field(
        name="dec", label="Declination", group="Target", key="dec", prefix="dec=", hint="-7.8 or -07:48:00"
    ),
    Field(
        name="sr", label="Radius, arc seconds", group="Target", key="sr", prefix="sr=", hint="180, or 0.5d"
    ),
    Field(
        name="program",
        label="Program, observation or data label",
        group="Program",
        key="program_id",
        hint="GN-2025B-Q-101",
    ),
    Field(name="pi", label="Investigator", group="Program", key="PIname", prefix="PIname="),
    Field(
        name="title", label="Words of the title", group="Program", key="ProgramText", prefix="ProgramText="
    ),
    Field(
        name="class",
        label="Class",
        group="Kind",
        key="observation_class",
        options=_words(*ENUMS["observation_class"]),
    ),
    Field(
        name="type",
        label="Type",
        group="Kind",
        key="observation_type",
        options=_words(*ENUMS["observation_type"]),
    ),
    Field(name="qa", label="Quality", group="Kind", key="qa_state", options=_qa_states, usual="NotFail"),
    Field(
        name="processing",
        label="Raw or reduced",
        group="Kind",
        key="processing",
        options=_words(*ENUMS["processing"]),
    ),
    Field(
        name="engineering",
        label="Engineering",
        group="Kind",
        key="engineering",
        options=lambda: [
            ("notengineering", "none"),
            ("engineering", "only"),
            ("includeengineering", "with"),
        ],
        usual="notengineering",
    ),
    Field(
        name="instrument",
        label="Instrument",
        group="Instrument",
        key="inst",
        prefix="inst=",
        options=_instruments,
    ),
    Field(
        name="spectroscopy",
        label="Mode",
        group="Instrument",
        key="spectroscopy",
        options=lambda: [("imaging", "images"), ("spectroscopy", "spectra")],
    ),
    Field(
        name="ao",
        label="Adaptive optics",
        group="Instrument",
        key="ao",
        options=lambda: [("AO", "in use"), ("NOTAO", "not in use")],
    ),
    Field(
        name="exposure",
        label="Exposure, seconds",
        group="Instrument",
        key="exposure_time",
        prefix="exposure_time=",
        hint="30, or 10-60",
    ),
    _setting("filter", "Filter", "filter", "filter=", "filter_name", group="Instrument"),
    _setting("disperser", "Disperser", "disperser", "disperser=", "disperser"),
    _setting("mask", "Slit or mask", "focal_plane_mask", "mask=", "focal_plane_mask"),
    _setting("camera", "Camera", "camera", "camera=", "camera"),
    _setting("wavelength", "Central wavelength, µm", "cenwlen", "cenwlen=", "", "0.65, or 0.6-0.7"),
    _setting("binning", "Binning", "binning", "", "detector_binning", "2x2"),
    _setting("readmode", "Read mode", "readmode", "readmode=", "detector_readmode_setting"),
    _setting("readspeed", "Read speed", "readspeed", "readspeed=", "detector_readspeed_setting"),
    _setting("gain", "Gain", "gain", "gain=", "detector_gain_setting"),
    _setting("welldepth", "Well depth", "welldepth", "welldepth=", "detector_welldepth_setting"),
    Field(name="file", label="File name begins with", group="More", key="filepre", prefix="filepre="),
)
#: Keys of days, whether they are nights, and how the element is written.
_DAYS: Final = {"date": False, "daterange": False, "night": True, "nightrange": True}
_DAY: Final = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)", re.ASCII)
_IDENTIFIERS: Final = ("program_id", "observation_id", "data_label")
#: Elements of the address that are no part of the search.
_ASIDE: Final = frozenset({"cols", "orderby"})


def selection_of(form: Mapping[str, str]) -> list[str]:
    """Return the elements of the selection that a filled form asks for."""
    elements = []
    for each in FIELDS:
        value = form.get(each.name, "").strip()
        if value:
            elements.append(f"{each.prefix}{value}")
    first, last = (form.get(name, "").strip().replace("-", "") for name in ("from", "to"))
    if first or last:
        key = "night" if form.get("days") == "night" else "date"
        first, last = first or last, last or first
        elements.append(f"{key}={first}" if first == last else f"{key}range={first}-{last}")
    elements += [each for each in form.get("more", "").strip().split("/") if each]
    return elements


def fields_of(elements: Iterable[str]) -> dict[str, str]:
    """Return the values of the form that asks for a selection; what has no field stands in ``more``."""
    by_key = {each.key: each for each in FIELDS}
    values: dict[str, str] = {}
    more = []
    for element in elements:
        key = _key_of(element)
        if key in _ASIDE:
            continue
        text = element.partition("=")[2] if "=" in element else element
        name = "program_id" if key in _IDENTIFIERS else key
        days = _days(text) if key in _DAYS else None
        if days is not None and "from" not in values:
            values |= {"from": days[0], "to": days[1], "days": "night" if _DAYS[key] else "date"}
        elif name in by_key and by_key[name].name not in values:
            values[by_key[name].name] = text
        else:
            more.append(element)
    if more:
        values["more"] = "/".join(more)
    return values


def _key_of(element: str) -> str:
    for term in GRAMMAR:
        try:
            if term.understand(element) is not None:
                return term.key
        except BadSelectionError:
            return term.key
    return ""


def _days(text: str) -> tuple[str, str] | None:
    """Return the first and the last day of a range, as forms have them; None for other times."""
    found = re.fullmatch(f"({_DAY.pattern})(?:--?({_DAY.pattern}))?", text, re.ASCII)
    if found is None:
        return None
    first = "-".join(found.groups()[1:4])
    return first, "-".join(found.groups()[5:8]) if found[5] else first
