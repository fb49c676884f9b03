"""Where a file is, and what has happened to it: everything that a site's database knows of one name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
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
_SEARCH_MS: Final = 4000
_QUERY_CANCELLED: Final = "57014"

_STAGE_WORDS: Final = {
    "copy": "the copy from the DHS",
    "store": "the store",
    "preview": "its preview",
    "associate": "its calibrations",
    "edit": "a header edit",
}
#: Stages of which the last success says that a file has arrived.
_ARRIVING: Final = frozenset({"ingest", "export"})
_NOT_DONE: Final = frozenset({"failed", "retrying"})


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

    def sentence(self) -> str:
        """Say where the file is, in one sentence."""
        if self.items:
            more = len(self.items) - 1
            tail = f", and it is in {more} more queue{'s' if more > 1 else ''}" if more else ""
            return f"{self.name} {_item_words(self.items[0])}{tail}."
        if not self.is_known:
            return f"{self.name} was never seen here."
        present = next((v for v in self.versions if v.present), None)
        arrived = self._arrival()
        if present is not None:
            if arrived is not None:
                return f"{self.name} is done: {arrived.outcome.replace('_', ' ')} at {_minute(arrived.at)}."
            return f"{self.name} is done: in the database since {_minute(present.entrytime)}."
        if self.versions:
            last_entry = _minute(self.versions[0].entrytime)
            return f"{self.name} is not here any more; its last version is of {last_entry}."
        if self.events:
            last = self.events[0]
            what = f"{last.stage} {last.outcome} at {_minute(last.at)}"
            return f"{self.name} is in no queue and has no version here; the last that happened: {what}."
        if self.dhs is not None:
            return f"{self.name} was copied from the DHS at {_minute(self.dhs.landed_at)} and is in no queue."
        return f"{self.name} is in no queue and has no version here."

    def _arrival(self) -> FileEvent | None:
        """Return the event that says that the file has arrived; that it was merely looked at counts least."""
        good = [e for e in self.events if e.outcome not in _NOT_DONE]
        real = [e for e in good if e.stage in _ARRIVING and e.outcome != "unchanged"]
        return next(iter(real or good), None)

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs; times are text, ISO 8601."""
        values = {"name": self.name, "state": self.state, "sentence": self.sentence(), **asdict(self)}
        plain: dict[str, Any] = _plain(values)
        return plain


@dataclass(frozen=True)
class Answer:
    """What was found for a name or a part of one."""

    asked: str
    #: None where the question fits several files, or none.
    history: FileHistory | None = None
    candidates: Sequence[str] = field(default_factory=tuple)
    #: Whether there are more candidates.
    is_cut: bool = False

    def sentence(self) -> str:
        """Say in one sentence what was found."""
        if self.history is not None:
            return self.history.sentence()
        if self.candidates:
            return f"{len(self.candidates)}{' and more' if self.is_cut else ''} names hold “{self.asked}”."
        return f"{self.asked} was never seen here."

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        if self.history is not None:
            return {"asked": self.asked, **self.history.as_dict()}
        return {
            "asked": self.asked,
            "state": "several" if self.candidates else "unknown",
            "sentence": self.sentence(),
            "candidates": list(self.candidates),
            "is_cut": self.is_cut,
        }


def _item_words(item: FileItem) -> str:
    """Say what an item does; it goes on after the name of the file."""
    work = _STAGE_WORDS.get(item.stage, item.stage)
    reason = f" ({item.reason})" if item.reason else ""
    tries = f", {item.attempts} attempt{'s' if item.attempts != 1 else ''}" if item.attempts > 0 else ""
    if item.state == "failed":
        return f"failed in {work} at {_minute(item.failed_at or item.added_at)}{reason}{tries}"
    if item.state == "running":
        return f"is at work in {work}, in the queue since {_minute(item.added_at)}"
    later = f", again at {item.not_before:%H:%M:%S}" if item.not_before > datetime.now(UTC) else ""
    return f"has waited for {work} since {_minute(item.added_at)}{reason}{tries}{later}"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


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


def find_names(connection: Connection, part: str, *, limit: int) -> list[str]:
    """Return trimmed names that hold a part, whatever its case, in order; past events are asked last.

    Raises
    ------
    SearchTooWideError
        The part is too short, or looking for it takes too long.
    """
    if len(part) < SHORTEST_PART:
        raise SearchTooWideError
    values = {"part": part.lower(), "limit": limit}
    found: set[str] = set()
    connection.execute(QUERIES.with_parts("time_limit", milliseconds=str(_SEARCH_MS)))
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
