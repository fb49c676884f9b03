"""Processing tags: the table, and the statements about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Boolean, CheckConstraint, Column, Connection, Integer, Table, Text, text

from fits_dagster.records.queries import QUERIES
from fits_dagster.records.tables import metadata

__all__ = [
    "MOST_PRIORITY",
    "ProcessingTag",
    "TagUse",
    "delete_tag",
    "find_tag",
    "list_tags",
    "processingtag",
    "save_tag",
]

#: Priorities lie between this and its negative.
MOST_PRIORITY: Final = 1_000_000

#: What is known of a campaign of data reduction, whose files carry its tag in ``PROCTAG``.
processingtag = Table(
    "processingtag",
    metadata,
    Column("tag", Text, primary_key=True),
    #: What its files are of; tags of one domain replace each other.
    Column("domain", Text, nullable=False, server_default=""),
    #: The higher wins.
    Column("priority", Integer, nullable=False, server_default="0"),
    #: Whether its files may be given to anybody as calibrations.
    Column("published", Boolean, nullable=False, server_default=text("false")),
    Column("description", Text, nullable=False, server_default=""),
    CheckConstraint(f"abs(priority) <= {MOST_PRIORITY}", name="processingtag_priority"),
)


@dataclass(frozen=True, kw_only=True)
class ProcessingTag:
    """One row of the table."""

    tag: str
    domain: str = ""
    priority: int = 0
    published: bool = False
    description: str = ""


@dataclass(frozen=True)
class TagUse:
    """A tag that is known, or that files carry."""

    #: None: files that were processed and carry none.
    tag: str | None
    #: What is known of it; None if nothing is.
    known: ProcessingTag | None
    #: Current versions of files that carry it.
    files: int
    #: Those of them that are not ``Raw``, and thus need a published tag.
    processed: int


_COLUMNS: Final = "tag, domain, priority, published, description"


def find_tag(connection: Connection, tag: str) -> ProcessingTag | None:
    """Return what is known of a tag."""
    row = connection.execute(QUERIES["find_tag"], {"tag": tag}).mappings().one_or_none()
    return None if row is None else ProcessingTag(**row)


def save_tag(connection: Connection, tag: ProcessingTag) -> None:
    """Write a tag, new or changed; whose calibrations that changes is for the caller to tell."""
    connection.execute(QUERIES["save_tag"], asdict(tag))


def delete_tag(connection: Connection, tag: str) -> None:
    """Forget a tag; files may still carry it."""
    connection.execute(QUERIES["delete_tag"], {"tag": tag})


def list_tags(connection: Connection) -> Sequence[TagUse]:
    """Return all tags, by domain, the highest priority first, with the number of files of each.

    Tags that only files know, and processed files without a tag, are told, too.
    """
    return [_use(dict(row)) for row in connection.execute(QUERIES["list_tags"]).mappings()]


def _use(row: dict[str, Any]) -> TagUse:
    counts = row.pop("files"), row.pop("processed")
    known = ProcessingTag(**row) if row.pop("known") else None
    return TagUse(row["tag"], known, *counts)
