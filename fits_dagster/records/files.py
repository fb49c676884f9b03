"""Statements about files and their versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

__all__ = [
    "StoredVersion",
    "file_id_of",
    "insert_row",
    "known_files",
    "present_versions",
    "refresh_lastmod",
    "supersede",
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


_PRESENT = text("""
select d.id as diskfile_id, f.name, d.path, d.filename, d.lastmod, d.file_md5, d.data_md5,
       d.file_size, d.data_size, d.compressed
from unnest(cast(:names as text[]), cast(:paths as text[])) as asked(name, path)
join file f on f.name = asked.name
join diskfile d on d.file_id = f.id and d.path = asked.path and d.present
""")


def present_versions(
    connection: Connection, keys: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str], StoredVersion]:
    """Return the present versions of files, by (trimmed name, path), in one query."""
    asked = sorted(set(keys))
    rows = connection.execute(
        _PRESENT, {"names": [name for name, _ in asked], "paths": [path for _, path in asked]}
    ).mappings()
    return {(row["name"], row["path"]): StoredVersion(**row) for row in rows}


_KNOWN = text("select filename, lastmod, file_size from diskfile where present and path = :path")


def known_files(connection: Connection, path: str) -> Mapping[str, tuple[datetime, int]]:
    """Return time and size of every present file directly under a path, by file name, in one query."""
    return {name: (lastmod, size) for name, lastmod, size in connection.execute(_KNOWN, {"path": path})}


def file_id_of(connection: Connection, name: str) -> int:
    """Return the row of a trimmed name, made if need be, and lock it so that its versions take turns."""
    connection.execute(
        text("insert into file (name) values (:name) on conflict (name) do nothing"), {"name": name}
    )
    return int(
        connection.scalars(text("select id from file where name = :name for update"), {"name": name}).one()
    )


_SUPERSEDE = text("""
with older as (update diskfile set present = false, canonical = false
               where file_id = :file_id and path = :path and (present or canonical) returning id)
select id from older
""")


def supersede(connection: Connection, file_id: int, path: str) -> Sequence[int]:
    """Demote the versions at a path before a new one comes; returns their rows."""
    return connection.scalars(_SUPERSEDE, {"file_id": file_id, "path": path}).all()


def refresh_lastmod(connection: Connection, diskfile_id: int, lastmod: datetime) -> None:
    """Note a new file time of an unchanged content, so that the next look is cheap again."""
    connection.execute(
        text("update diskfile set lastmod = :lastmod where id = :id"),
        {"id": diskfile_id, "lastmod": lastmod},
    )


def insert_row(connection: Connection, table: Any, values: Mapping[str, Any]) -> int:
    """Insert one row and return its id."""
    return int(connection.execute(table.insert().values(**values).returning(table.c.id)).scalar_one())
