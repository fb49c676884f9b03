"""Shapes of the answers of ``/api/v1``, as ``/openapi.json`` describes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = [
    "ApiRecord",
    "Arrivals",
    "Calibrations",
    "FileRecord",
    "NightCount",
    "NightDetail",
    "Nights",
    "Records",
]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Links(_Shape):
    """Addresses of what there is of a file."""

    record: str
    page: str
    #: Its bytes; only for who may have them.
    file: str | None
    preview: str | None
    calibrations: str


class ApiRecord(BaseModel):
    """The record of a version: a field for each column of the archive, and addresses."""

    model_config = ConfigDict(extra="allow")

    name: str
    filename: str
    path: str
    file_md5: str | None
    data_md5: str | None
    instrument: str | None
    data_label: str | None
    ut_datetime: str | None
    links: Links


class Records(_Shape):
    """A page of records."""

    items: list[ApiRecord]
    #: Address of the next page; null on the last.
    next: str | None


class _Version(BaseModel):
    filename: str
    path: str
    present: bool
    canonical: bool
    file_md5: str | None
    data_md5: str | None
    entrytime: str
    lastmod: str


class FileRecord(_Shape):
    """A file: the record of its current version, and all versions, the newest first."""

    record: ApiRecord
    versions: list[_Version]


class _Candidate(_Shape):
    name: str
    #: Seconds from the target, negative before it.
    seconds: float | None
    misses: list[dict[str, str]]


class _OfType(_Shape):
    caltype: str
    applicable: bool
    #: What must be equal to the file's.
    key: dict[str, list[Any]]
    #: Best first.
    chosen: list[_Candidate]
    #: Passed over, and why.
    nearest: list[_Candidate]
    remark: str


class Calibrations(_Shape):
    """The calibrations of a file by type, and why these."""

    name: str
    types: list[_OfType]


class NightCount(_Shape):
    """A night that has data."""

    night: str
    files: int
    #: Address of more.
    link: str


class Nights(_Shape):
    """Nights with data, the newest first."""

    items: list[NightCount]
    next: str | None


class NightDetail(_Shape):
    """A night in figures."""

    night: str
    begins: str
    ends: str
    files: int
    is_cut: bool
    by_instrument: dict[str, int]
    by_type: dict[str, int]
    #: By stage, files that are through, at work, waiting, failed.
    stages: dict[str, dict[str, int]]


class Arrivals(_Shape):
    """A page of what has come."""

    items: list[ApiRecord]
    #: Where to go on, tomorrow, too.
    cursor: str
    #: Everything before this time has been told, if there is no next page.
    complete_until: str
    next: str | None
