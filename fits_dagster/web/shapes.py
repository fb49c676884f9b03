"""Shapes of answers, as ``/openapi.json`` describes them; a test compares them with what is answered."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict

__all__ = [
    "CALIBRATION_ERRORS",
    "ERRORS",
    "CalibrationTarget",
    "EditOutcome",
    "Health",
    "KnownProgram",
    "LevelledEntry",
    "ListedName",
    "NamedPosition",
    "NightProgress",
    "Quality",
    "ReceivedFile",
    "RecordEntry",
    "SavedPrograms",
    "Term",
    "VersionEntry",
    "Visitor",
    "body_of",
    "content",
    "form_of",
    "leads_to",
]

#: Descriptions of answers, by status.
Responses: TypeAlias = dict[int | str, dict[str, Any]]

_TEXT: Final = {"schema": {"type": "string"}}
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_REFUSAL: Final = {
    "schema": {
        "title": "Refusal",
        "type": "object",
        "properties": {"error": {"type": "string", "description": "What happened, and what to do."}},
        "required": ["error"],
        "additionalProperties": False,
    }
}

#: What every route answers when it refuses: programs an object, people a page.
ERRORS: Final[Responses] = {
    "4XX": {
        "description": "Refused; `error` says why.",
        "content": {"application/json": _REFUSAL, "text/html": _TEXT},
    },
    503: {
        "description": "Not now; ask again later.",
        "content": {"application/json": _REFUSAL, "text/html": _TEXT},
    },
}
#: The calibration manager's clients expect an XML comment.
CALIBRATION_ERRORS: Final[Responses] = {
    "4XX": {
        "description": "Refused; the comment says why.",
        "content": {"text/plain": _TEXT, "application/json": _REFUSAL, "text/html": _TEXT},
    }
}


def content(*media_types: str, status: int = 200, description: str = "Successful Response") -> Responses:
    """Describe an answer of one of several types whose content has no further shape."""
    types = {each: _TEXT if each.startswith("text/") else _BINARY for each in media_types}
    return {status: {"description": description, "content": types}}


def leads_to(what: str, status: int = 302) -> Responses:
    """Describe an answer that leads elsewhere."""
    return {status: {"description": f"Leads to {what}."}}


def body_of(media_type: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe the body of a request; without a schema it may be anything of the media type."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema or {}}}}}


def form_of(*fields: str) -> dict[str, Any]:
    """Describe a form of texts, all of which may be missing."""
    properties = {each: {"type": "string"} for each in fields}
    return body_of("application/x-www-form-urlencoded", {"type": "object", "properties": properties})


class Shape(BaseModel):
    """An object with these entries and no others."""

    model_config = ConfigDict(extra="forbid")


class Health(Shape):
    """A site that answers."""

    site: str
    version: str
    status: str


class Visitor(Shape):
    """Who is signed in."""

    username: str | None
    role: str | None


class NamedPosition(Shape):
    """Where an object is, by its name."""

    success: bool
    message: str
    ra: float | None
    dec: float | None


class Term(Shape):
    """A part of the grammar of selections."""

    key: str
    words: list[str]
    names: list[str]
    value: str
    selects: str
    closes: bool
    examples: list[str]


class _Listed(Shape):
    #: Elements of the selection that had no effect; in the last entry.
    not_understood: list[str] = []


class ListedName(_Listed):
    """The name of a file."""

    name: str


class _Version(Shape):
    name: str
    filename: str
    path: str
    compressed: bool | None
    file_size: int | None
    data_size: int | None
    file_md5: str | None
    data_md5: str | None
    lastmod: str
    mdready: bool | None
    entrytime: str
    present: bool
    canonical: bool
    size: int | None
    md5: str | None
    pending_ingest: bool


class VersionEntry(_Version, _Listed):
    """A version of a file."""


class RecordEntry(_Version, _Listed):
    """A version of a file with its record: a field for each column of the archive."""

    model_config = ConfigDict(extra="allow")

    instrument: str | None
    data_label: str | None
    ut_datetime: str | None
    types: str | None
    results_truncated: bool = False


class LevelledEntry(_Version):
    """A version of a calibration, and how it is associated."""

    caltype: str
    rank: int
    primary: bool
    level: int


class Quality(Shape):
    """The quality of an observation's file."""

    data_label: str | None
    filename: str
    data_md5: str | None
    entrytime: str
    qa_state: str | None


class NightProgress(Shape):
    """Files of a night to which something has happened."""

    names: list[str]


class _Calibration(Shape):
    label: str | None
    name: str
    md5: str
    url: str


class _OfType(Shape):
    error: bool
    type: str
    cals: list[_Calibration] | None


class CalibrationTarget(Shape):
    """A file, and its calibrations by type; an error stands where a rule could not be evaluated."""

    label: str | None
    filename: str | None
    md5: str | None
    cal_info: list[_OfType]


class KnownProgram(Shape):
    """What is known of a program."""

    program_id: str
    pi_coi_names: str
    title: str
    publications: list[str]


class SavedPrograms(Shape):
    """How many programs were taken."""

    programs: int


class ReceivedFile(Shape):
    """An upload that is durable."""

    filename: str
    path: str
    size: int
    md5: str


class EditOutcome(BaseModel):
    """What became of one edit."""

    result: bool
    error: str = ""
    md5: str = ""
