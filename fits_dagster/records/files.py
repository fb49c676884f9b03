"""Statements about files and their versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, exists, select

from fits_dagster.records.queries import QUERIES
from fits_dagster.records.tables import diskfile, preview

__all__ = [
    "StoredVersion",
    "file_id_of",
    "has_preview",
    "insert_row",
    "known_files",
    "known_files_named",
    "present_versions",
    "refresh_lastmod",
    "supersede",
    "text_query",
]


@dataclass(frozen=True)
class StoredVersion:
    """The version of a file that is present at a path."""

    diskfile_id: int
    name: str
    path: str
    filename: str
    lastmod: datetime
    file_md5: str
    data_md5: str
    file_size: int
    data_size: int
    compressed: bool


def present_versions(
    connection: Connection, keys: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str], StoredVersion]:
    """Return the present versions of files, by (trimmed name, path), in one query."""
    asked = sorted(set(keys))
    rows = connection.execute(
        QUERIES["present_versions"],
        {"names": [name for name, _ in asked], "paths": [path for _, path in asked]},
    ).mappings()
    return {(row["name"], row["path"]): StoredVersion(**row) for row in rows}


def known_files(connection: Connection, path: str) -> Mapping[str, tuple[datetime, int]]:
    """Return time and size of every present file directly under a path, by file name, in one query."""
    rows = connection.execute(QUERIES["known_files"], {"path": path}).all()
    return {name: (lastmod, size) for name, lastmod, size in rows}


def known_files_named(
    connection: Connection, path: str, names: Sequence[str]
) -> Mapping[str, tuple[datetime, int]]:
    """Return the same of the files of some trimmed names."""
    rows = connection.execute(QUERIES["known_files_named"], {"path": path, "names": names}).all()
    return {name: (lastmod, size) for name, lastmod, size in rows}


def file_id_of(connection: Connection, name: str) -> int:
    """Return the row of a trimmed name, made if need be, and lock it so that its versions take turns."""
    connection.execute(QUERIES["add_file"], {"name": name})
    return int(connection.scalars(QUERIES["lock_file"], {"name": name}).one())


def supersede(connection: Connection, file_id: int, path: str) -> Sequence[int]:
    """Demote the versions at a path before a new one comes; returns their rows."""
    return connection.scalars(QUERIES["supersede"], {"file_id": file_id, "path": path}).all()


def refresh_lastmod(connection: Connection, diskfile_id: int, lastmod: datetime) -> None:
    """Note a new file time of an unchanged content, so that the next look is cheap again."""
    connection.execute(
        QUERIES["refresh_lastmod"],
        {"id": diskfile_id, "lastmod": lastmod},
    )


def insert_row(connection: Connection, table: Any, values: Mapping[str, Any]) -> int:
    """Insert one row and return its id."""
    return int(connection.execute(table.insert().values(**values).returning(table.c.id)).scalar_one())


def text_query(column: Column[Any], diskfile_id: int) -> Select[Any]:
    """Select a column of what belongs to a version: a report, the text of the headers, the preview's name."""
    return select(column).where(column.table.c.diskfile_id == diskfile_id)


def has_preview() -> ColumnElement[bool]:
    """Return the condition that a version has a preview."""
    return exists().where(preview.c.diskfile_id == diskfile.c.id)
