"""Statements about files and their versions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, exists, select

from fits_dagster.records.queries import QUERIES
from fits_dagster.records.tables import diskfile, preview

__all__ = [
    "StoredVersion",
    "file_ids_of",
    "has_preview",
    "insert_row",
    "insert_rows",
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


def file_ids_of(connection: Connection, names: Collection[str]) -> Mapping[str, int]:
    """Return the rows of trimmed names, made if need be, and lock them so that their versions take turns."""
    asked = {"names": sorted(set(names))}
    connection.execute(QUERIES["add_files"], asked)
    return {name: number for name, number in connection.execute(QUERIES["lock_files"], asked)}


def supersede(connection: Connection, places: Sequence[tuple[int, str]]) -> None:
    """Demote the versions of files at their paths, (row of the file, path), before new ones come."""
    values = {"file_ids": [file_id for file_id, _ in places], "paths": [path for _, path in places]}
    connection.execute(QUERIES["supersede"], values)


def refresh_lastmod(connection: Connection, diskfile_id: int, lastmod: datetime) -> None:
    """Note a new file time of an unchanged content, so that the next look is cheap again."""
    connection.execute(
        QUERIES["refresh_lastmod"],
        {"id": diskfile_id, "lastmod": lastmod},
    )


def insert_row(connection: Connection, table: Any, values: Mapping[str, Any]) -> int:
    """Insert one row and return its id."""
    return int(connection.execute(table.insert().values(**values).returning(table.c.id)).scalar_one())


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> Sequence[int]:
    """Insert rows that have the same columns; returns their ids."""
    if not rows:
        return ()
    # ids taken beforehand spare one long statement that would return them
    values = {"table": table.fullname, "number": len(rows)}
    ids = connection.scalars(QUERIES["new_ids"], values).all()
    connection.execute(table.insert(), [{"id": number, **row} for number, row in zip(ids, rows, strict=True)])
    return ids


def text_query(column: Column[Any], diskfile_id: int) -> Select[Any]:
    """Select a column of what belongs to a version: a report, the text of the headers, the preview's name."""
    return select(column).where(column.table.c.diskfile_id == diskfile_id)


def has_preview() -> ColumnElement[bool]:
    """Return the condition that a version has a preview."""
    return exists().where(preview.c.diskfile_id == diskfile.c.id)
