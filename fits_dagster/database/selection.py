"""The selection grammar of URLs: path elements to conditions on files and headers.

Elements come in any order; one that is not understood is passed over, as clients expect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote

from sqlalchemy import ColumnElement, and_, func

from fits_dagster.database.tables import diskfile, file, header
from fits_dagster.fits.names import trimmed
from fits_dagster.metadata.identifiers import is_data_label, is_observation_id, parse_program_id
from fits_dagster.metadata.record import ENUMS

__all__ = ["Selection", "path_elements", "select_files"]

_FLAGS: Final[Mapping[str, tuple[str, bool]]] = {
    "present": ("present", True),
    "notpresent": ("present", False),
    "canonical": ("canonical", True),
    "notcanonical": ("canonical", False),
    "engineering": ("engineering", True),
    "notengineering": ("engineering", False),
    "science_verification": ("science_verification", True),
    "notscience_verification": ("science_verification", False),
    "calprog": ("calibration_program", True),
    "notcalprog": ("calibration_program", False),
    "imaging": ("spectroscopy", False),
    "spectroscopy": ("spectroscopy", True),
    "mdgood": ("mdready", True),
    "mdbad": ("mdready", False),
    "preimage": ("pre_image", True),
    "ao": ("adaptive_optics", True),
    "notao": ("adaptive_optics", False),
    "noao": ("adaptive_optics", False),
    "ngs": ("laser_guide_star", False),
    "lgs": ("laser_guide_star", True),
}
#: No restriction, but a word of the grammar.
_NEUTRAL: Final = frozenset({"includeengineering", "AnyQA", "defaults"})
_QA: Final[Mapping[str, Callable[[ColumnElement[Any]], ColumnElement[bool]]]] = {
    "Pass": lambda c: c == "Pass",
    "Usable": lambda c: c == "Usable",
    "Fail": lambda c: c == "Fail",
    "CHECK": lambda c: c == "CHECK",
    "UndefinedQA": lambda c: c == "Undefined",
    "Win": lambda c: c.in_(("Pass", "Usable")),
    "NotFail": lambda c: c != "Fail",
    "Lucky": lambda c: c.in_(("Pass", "Undefined")),
}
_DISKFILE: Final = frozenset({"present", "canonical", "mdready"})
_TELESCOPES: Final = {"gemininorth": "Gemini-North", "geminisouth": "Gemini-South"}
_INSTRUMENTS: Final = {
    name.lower(): name
    for name in (
        *("NIRI", "NIFS", "GMOS-N", "GMOS-S", "GMOS", "michelle", "GNIRS", "GHOST", "PHOENIX", "TEXES"),
        *("TReCS", "NICI", "IGRINS", "IGRINS-2", "GSAOI", "OSCIR", "F2", "GPI", "ABU", "bHROS", "hrwfs"),
        *("FLAMINGOS", "CIRPASS", "GRACES", "ALOPEKE", "ZORRO", "MAROON-X", "Hokupaa+QUIRC"),
    )
}
_HEADER_KEYS: Final = {
    "disperser": "disperser",
    "camera": "camera",
    "mask": "focal_plane_mask",
    "pupil_mask": "pupil_mask",
    "filter": "filter_name",
    "processing_tag": "processing_tag",
    "coadds": "coadds",
    "readmode": "detector_readmode_setting",
    "readspeed": "detector_readspeed_setting",
    "gain": "detector_gain_setting",
    "welldepth": "detector_welldepth_setting",
}
_DAY: Final = re.compile(r"\d{8}")
_RANGE: Final = re.compile(r"(\d{8})--?(\d{8})")
_FILE: Final = re.compile(r"[NS]20\d{6}[A-Z]\d{4}.*")
_PREFIX: Final = re.compile(r"[NS]20[012]\d*")


@dataclass
class Selection:
    """What a URL asks for."""

    conditions: dict[str, ColumnElement[bool]] = field(default_factory=dict)
    not_recognised: list[str] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether nothing narrows it to a date, a program or a file."""
        closing = {"date", "program_id", "observation_id", "data_label", "filename"}
        return not closing & set(self.conditions)

    @property
    def where(self) -> ColumnElement[bool]:
        """All conditions together."""
        return and_(True, *self.conditions.values())


def path_elements(raw_path: bytes, feature: str) -> list[str]:
    """Split a raw request path behind its feature; each element is decoded by itself.

    A slash inside a value is written ``=slash=`` or ``%2F``.
    """
    text = raw_path.decode("ascii", "replace").split("?")[0]
    rest = text.split(f"/{feature}", 1)[1] if f"/{feature}" in text else ""
    return [unquote(element).replace("=slash=", "/") for element in rest.split("/") if element]


def select_files(elements: Iterable[str], *, archive: bool) -> Selection:
    """Turn path elements into conditions.

    Parameters
    ----------
    archive
        A bare date is a UTC date at the archive, a night at a summit.
    """
    selection = Selection()
    for element in elements:
        key, condition = _understand(element, archive=archive)
        if key is None:
            selection.not_recognised.append(element)
        elif condition is not None:
            selection.conditions[key] = condition
    for specific, general in (
        ("data_label", "observation_id"),
        ("data_label", "program_id"),
        ("observation_id", "program_id"),
    ):
        if specific in selection.conditions:
            selection.conditions.pop(general, None)
    return selection


_Understood = tuple[str | None, ColumnElement[bool] | None]


def _understand(element: str, *, archive: bool) -> _Understood:
    if "=" in element:
        return _understand_pair(*element.split("=", 1))
    if element in _NEUTRAL:
        return element, None
    if element in _QA:
        return "qa_state", _QA[element](header.c.qa_state)
    lower = element.lower()
    if lower in _FLAGS:
        column, value = _FLAGS[lower]
        table = diskfile if column in _DISKFILE else header
        return column, table.c[column].is_(value)
    if (telescope := _TELESCOPES.get(re.sub("[-_]", "", lower))) is not None:
        return "telescope", header.c.telescope == telescope
    if lower in _INSTRUMENTS:
        name = _INSTRUMENTS[lower]
        wanted = ("GMOS-N", "GMOS-S") if name == "GMOS" else (name,)
        return "instrument", header.c.instrument.in_(wanted)
    for column in ("observation_type", "observation_class", "processing", "reduction", "mode"):
        if element in ENUMS[column]:
            return column, header.c[column] == element
    if _FILE.fullmatch(element):
        return _understand_pair("filename", element if ".fits" in element else f"{element}.fits")
    if (span := _dates(element, archive=archive)) is not None:
        return "date", and_(header.c.ut_datetime >= span[0], header.c.ut_datetime < span[1])
    for column, is_valid in (
        ("program_id", lambda text: parse_program_id(text) is not None),
        ("observation_id", is_observation_id),
        ("data_label", is_data_label),
    ):
        if is_valid(element):
            return column, header.c[column] == element.upper()
    if _PREFIX.fullmatch(element):
        return _understand_pair("filepre", element)
    return None, None


def _understand_pair(key: str, value: str) -> _Understood:
    if key == "filename":
        return "filename", file.c.name == trimmed(value)
    if key == "filepre":
        return "filename", file.c.name.startswith(value, autoescape=True)
    if key == "path":
        return "path", diskfile.c.path == value
    if key in ("progid", "obsid", "datalabel"):
        column = {"progid": "program_id", "obsid": "observation_id", "datalabel": "data_label"}[key]
        return column, header.c[column] == value.upper()
    if key == "object":
        pattern = re.sub(r"([%_\\])", r"\\\1", value.lower())
        pattern = re.sub(r"^\*|\*$", "%", pattern)
        return "object", func.lower(header.c.object).like(pattern, escape="\\")
    if (column_name := _HEADER_KEYS.get(key.lower())) is not None:
        return column_name, header.c[column_name] == (int(value) if value.isdigit() else value)
    if key in ("date", "night") and (span := _dates(value, archive=key == "date")) is not None:
        return "date", and_(header.c.ut_datetime >= span[0], header.c.ut_datetime < span[1])
    return None, None


def _dates(text: str, *, archive: bool) -> tuple[datetime, datetime] | None:
    """Return the UTC limits of a date, a word for one, or a range of dates."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    words = {"today": 0, "yesterday": -1, "tomorrow": 1}
    if text in words:
        start = today + timedelta(days=words[text])
        return start, start + timedelta(days=1)
    match = _RANGE.fullmatch(text)
    days = sorted(match.groups()) if match else [text, text]
    if not all(_DAY.fullmatch(day) for day in days):
        return None
    try:
        first, last = (datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) for day in days)
    except ValueError:
        return None
    if not (1999 <= first.year <= 2100):
        return None
    return first, last + timedelta(days=1)
