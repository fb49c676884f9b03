"""Where a file is, and what has happened to it: everything that a site's database knows of one name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from fits_dagster.fits.names import stem, trimmed
from fits_dagster.records.queries import QUERIES

__all__ = [
    "Answer",
    "DhsCopy",
    "FileEvent",
    "FileHistory",
    "FileItem",
    "FileVersion",
    "HeaderEdit",
    "SearchTooWideError",
    "Upload",
    "file_events",
    "file_history",
    "find_file",
    "find_names",
]

#: A part of a name must have at least so many characters.
SHORTEST_PART: Final = 3
_MOST_NAMES: Final = 50
_MOST_EVENTS: Final = 500
_LONGEST_SEARCH_S: Final = 4.0
_QUERY_CANCELLED: Final = "57014"


class SearchTooWideError(ValueError):
    """Too many names would have to be looked at: please give more of the name."""

    def __init__(self) -> None:
        super().__init__((type(self).__doc__ or "").strip())


@dataclass(frozen=True)
class DhsCopy:
    """The version of a DHS file that was copied in."""

    size: int
    mtime: datetime
    md5: str
    landed_at: datetime


@dataclass(frozen=True)
class Upload:
    """One arrival over HTTP."""

    path: str
    filename: str
    size: int
    md5: str
    remote_address: str | None
    received_at: datetime
    stored_at: datetime | None


@dataclass(frozen=True)
class FileVersion:
    """One version of a file at a path."""

    path: str
    filename: str
    present: bool
    canonical: bool
    file_md5: str
    data_md5: str
    file_size: int
    lastmod: datetime
    entrytime: datetime


@dataclass(frozen=True)
class FileItem:
    """Work on a file that waits, runs or has failed."""

    id: int
    stage: str
    state: str
    path: str
    filename: str
    destination: str
    added_at: datetime
    not_before: datetime
    failed_at: datetime | None
    attempts: int
    reason: str | None
    error: str | None
    run_id: str


@dataclass(frozen=True)
class HeaderEdit:
    """One header edit that was asked for."""

    id: int
    path: str
    filename: str
    cards: Any
    asked_at: datetime
    asked_by: str
    applied_at: datetime | None
    error: str | None


@dataclass(frozen=True)
class FileEvent:
    """One thing that happened to a file."""

    at: datetime
    stage: str
    outcome: str
    detail: str
    path: str
    filename: str
    size: int | None
    seconds: float | None
    run_id: str


@dataclass(frozen=True)
class FileHistory:
    """What is known of a file, whatever its paths."""

    #: Without ``.bz2``.
    name: str
    dhs: DhsCopy | None = None
    uploads: Sequence[Upload] = ()
    #: The newest first.
    versions: Sequence[FileVersion] = ()
    #: Those that need somebody first.
    items: Sequence[FileItem] = ()
    edits: Sequence[HeaderEdit] = ()
    #: The newest first.
    events: Sequence[FileEvent] = ()

    @property
    def is_known(self) -> bool:
        """Whether the file was ever seen."""
        return bool(
            self.dhs or self.uploads or self.versions or self.items or self.edits or self.events
        )  # fmt: skip

    @property
    def state(self) -> str:
        """One word: ``failed``, ``waiting``, ``running``, ``done``, ``gone`` or ``unknown``."""
        if self.items:
            return self.items[0].state
        if not self.is_known:
            return "unknown"
        return "done" if any(v.present for v in self.versions) else "gone"


@dataclass(frozen=True)
class Answer:
    """What was found for a name or a part of one."""

    asked: str
    #: None where the question fits several files, or none.
    history: FileHistory | None = None
    candidates: Sequence[str] = field(default_factory=tuple)
    #: Whether there are more candidates.
    is_cut: bool = False


def find_file(connection: Connection, asked: str) -> Answer:
    """Find a file by its name, with or without ``.fits`` and ``.bz2``, or by a part of it.

    Raises
    ------
    SearchTooWideError
        The part is too short, or looking for it takes too long.
    """
    asked = asked.replace("\x00", "").strip().rpartition("/")[2]
    if not asked:
        return Answer(asked)
    for name in dict.fromkeys((trimmed(asked), f"{stem(asked)}.fits")):
        history = file_history(connection, name)
        if history.is_known:
            return Answer(asked, history)
    names = find_names(connection, trimmed(asked), limit=_MOST_NAMES + 1)
    if len(names) == 1:
        return Answer(asked, file_history(connection, names[0]))
    return Answer(asked, None, names[:_MOST_NAMES], is_cut=len(names) > _MOST_NAMES)


_PLACES: Final = (("file", "name"), ("work_item", "filename"), ("dhs_file", "name"))


def find_names(
    connection: Connection, part: str, *, limit: int, longest_s: float = _LONGEST_SEARCH_S
) -> list[str]:
    """Return trimmed names that hold a part, whatever its case, in order; past events are asked last.

    Parameters
    ----------
    limit
        Most names.
    longest_s
        Longest time of one question to the database, seconds.

    Raises
    ------
    SearchTooWideError
        The part is too short, or looking for it takes too long.
    """
    if len(part) < SHORTEST_PART:
        raise SearchTooWideError
    values = {"part": part.lower(), "limit": limit}
    found: set[str] = set()
    connection.execute(QUERIES.with_parts("time_limit", milliseconds=str(round(longest_s * 1000))))
    try:
        for table, column in (*_PLACES, ("event", "filename")):
            if table == "event" and found:
                break
            found |= set(
                connection.scalars(QUERIES.with_parts("names_like", table=table, column=column), values)
            )
    except OperationalError as error:
        connection.rollback()
        if getattr(error.orig, "sqlstate", None) != _QUERY_CANCELLED:
            raise
        raise SearchTooWideError from error
    connection.execute(QUERIES.with_parts("time_limit", milliseconds="0"))
    return sorted(found)[:limit]


def file_events(connection: Connection, name: str, *, limit: int = _MOST_EVENTS) -> list[FileEvent]:
    """Return what happened to a file of a trimmed name, the newest first."""
    rows = connection.execute(QUERIES["file_events"], {"names": _both(name), "limit": limit}).mappings()
    return [FileEvent(**row) for row in rows]


def file_history(connection: Connection, name: str) -> FileHistory:
    """Gather what is known of a trimmed name; the answer's ``is_known`` tells whether there is anything."""
    names = {"names": _both(name)}
    dhs = connection.execute(QUERIES["dhs_copies"], names).mappings().first()
    return FileHistory(
        name,
        DhsCopy(**dhs) if dhs is not None else None,
        [Upload(**row) for row in connection.execute(QUERIES["uploads_of"], names).mappings()],
        [FileVersion(**row) for row in connection.execute(QUERIES["versions_of"], {"name": name}).mappings()],
        [FileItem(**row) for row in connection.execute(QUERIES["items_of"], names).mappings()],
        [HeaderEdit(**row) for row in connection.execute(QUERIES["edits_of"], names).mappings()],
        file_events(connection, name),
    )


def _both(name: str) -> list[str]:
    """Return the names that a file may be stored under."""
    return [name, f"{name}.bz2"]
