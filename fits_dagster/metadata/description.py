"""From headers to everything the database keeps about one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, Final

from fits_dagster.fits.hdu import HDU
from fits_dagster.fits.names import COMPRESSED_SUFFIX, trimmed
from fits_dagster.fits.tiles import image_hdus

from .footprints import Footprint, footprints
from .record import FIELDS, REDUCTION_FIELDS, RejectedValueError, checked
from .registry import translator_for
from .translator import Translator
from .values import text, whole

__all__ = ["Description", "describe", "summary"]

_REDUCTION_KEYWORDS: Final = {
    "processing_intent": "PROCITNT",
    "software_mode": "PROCMODE",
    "software_used": "PROCSOFT",
    "software_version": "PROCSVER",
    "processing_initiated_by": "PROCINBY",
    "processing_reviewed_by": "PROCRVBY",
    "processing_review_outcome": "PROCREVW",
    "processing_tag": "PROCTAG",
}
_FILE_PART: Final = (
    "name",
    "filename",
    "path",
    "compressed",
    "file_size",
    "data_size",
    "file_md5",
    "data_md5",
    "lastmod",
    "mdready",
    "entrytime",
    "size",
    "md5",
    "pending_ingest",
)
#: Fields of the record that the archive's summary does not show.
_NOT_IN_SUMMARY: Final = frozenset({"ut_datetime_secs", "site_monitoring", "numpix"})
_HEADER_PART: Final = tuple(name for name in FIELDS if name not in _NOT_IN_SUMMARY)


@dataclass(frozen=True)
class Description:
    """What the headers of one file tell."""

    #: Every field of the record, null where there is no value; ``types`` is a sorted list.
    record: dict[str, object]
    #: The observatory by whose rules it is described; None if there is none.
    observatory: str | None
    #: The classification tags.
    tags: frozenset[str]
    #: Name of the instrument's table, if it has one.
    instrument_table: str | None
    #: Its rows: one, for GHOST one for each arm, none without a table.
    instrument_rows: list[dict[str, object]]
    #: Sky footprints of the extensions.
    footprints: list[Footprint]
    #: How the data were reduced.
    reduction_row: dict[str, object]
    #: One line for each field that could not be computed or was out of range.
    warnings: list[str] = field(default_factory=list)


def describe(hdus: Sequence[HDU], filename: str) -> Description:
    """Describe a FITS file by its headers.

    Parameters
    ----------
    hdus : sequence of HDU
        Headers of the file, primary first; at least one.
    filename : str
        Name of the file, with or without ``.bz2``.

    Returns
    -------
    Description
        A field that cannot be computed is null, with a warning; nothing is raised for it.

    Raises
    ------
    ValueError
        If there is no header at all: then it is no FITS file.
    """
    if not hdus:
        raise ValueError("a file without headers cannot be described")
    warnings: list[str] = []
    subject = translator_for(image_hdus(hdus), filename)
    record = {name: _field(subject, name, warnings) for name in FIELDS}
    if record["types"] is None:
        record["types"] = []
    try:
        areas = footprints(subject.images)
    except Exception as error:  # footprints serve searches only, they must not cost the record
        warnings.append(f"footprints: {type(error).__name__}: {error}")
        areas = []
    try:
        rows = subject.instrument_rows(warnings)
    except Exception as error:  # see above: the row of one table must not cost the record
        warnings.append(f"{subject.table}: {type(error).__name__}: {error}")
        rows = []
    warnings += dict.fromkeys(subject.findings)
    return Description(
        record=record,
        observatory=subject.observatory,
        tags=frozenset(str(tag) for tag in _sequence(record["types"])),
        instrument_table=subject.table,
        instrument_rows=rows,
        footprints=areas,
        reduction_row=_reduction_row(subject, record["reduction"], warnings),
        warnings=warnings,
    )


def summary(
    record: Mapping[str, object], filename: str, file: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return the archive's JSON summary of a file.

    Parameters
    ----------
    record : mapping
        The record of `describe`, or the same fields from the database.
    filename : str
        Name of the file as stored.
    file : mapping, optional
        Facts of the file: path, file_size, file_md5, data_size, data_md5, lastmod, entrytime,
        mdready, pending_ingest.

    Returns
    -------
    dict
        Ready for JSON, keys in the order of the archive. Times have a blank between date and time and
        a fraction only where it is not zero.
    """
    facts: dict[str, object] = {
        "path": "",
        **(file or {}),
        "name": trimmed(filename),
        "filename": filename,
        "compressed": filename.endswith(COMPRESSED_SUFFIX),
    }
    facts["size"], facts["md5"] = facts.get("file_size"), facts.get("file_md5")
    shown = {name: _printed(facts.get(name)) for name in _FILE_PART}
    shown["pending_ingest"] = bool(facts.get("pending_ingest"))
    for name in _HEADER_PART:
        shown[name] = _printed(record.get(name))
    instant = record.get("ut_datetime")
    if isinstance(instant, datetime):
        shown["ut_datetime"] = instant.replace(tzinfo=None).isoformat(sep=" ")
    types = record.get("types")
    shown["types"] = types if isinstance(types, str) else _printed_set(_sequence(types))
    return shown


def _field(subject: Translator, name: str, warnings: list[str]) -> Any:
    try:
        if name in subject.constants:
            value = subject.constants[name]
        else:
            value = getattr(subject, _RULES[name])()
        return None if value is None else checked(name, value)
    except RejectedValueError as rejected:
        warnings.append(str(rejected))
    except Exception as error:  # whatever a header does to a rule costs this one field only
        warnings.append(f"{name}: {type(error).__name__}: {error}")
    return None


def _reduction_row(subject: Translator, reduction: object, warnings: list[str]) -> dict[str, object]:
    row: dict[str, object] = {}
    found: dict[str, str | int | None] = {
        name: text(subject.primary, key) for name, key in _REDUCTION_KEYWORDS.items()
    }
    level = whole(subject.primary, "PROCLEVL")
    found["processing_level"] = 0 if level is None and reduction == "RAW" else level
    for name, value in found.items():
        try:
            row[name] = checked(name, value, REDUCTION_FIELDS)
        except RejectedValueError as rejected:
            warnings.append(f"reduction: {rejected}")
            row[name] = None
    return row


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _printed_set(tags: Sequence[object]) -> str:
    return "[" + ", ".join(f"'{tag}'" for tag in tags) + "]"


#: What a translator calls the rule of a field.
_RULES: Final = {name: f"to_{name}" for name in FIELDS}
#: Types of most values, which JSON has as they are.
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def _printed(value: object) -> object:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return value
