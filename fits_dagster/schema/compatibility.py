"""Which programs work with which schema, so that the machines of a site can be upgraded one after the other.

Each migration says in ``programs_from`` from which schema on programs go on working after it. One that only
adds keeps what the migration before it says; one that takes away or changes names itself. So what is needed
no longer is dropped a release after it was last used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, Connection, Integer, Table, Text, select
from sqlalchemy.dialects.postgresql import insert

from fits_dagster.records.tables import metadata

__all__ = ["Step", "note_oldest", "oldest_programs", "schema_compatibility"]

#: One row, which a migration writes, whatever programs come later.
schema_compatibility: Final = Table(
    "schema_compatibility",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, server_default="1"),
    #: Programs that work with this schema, or with a later one, may work with this database.
    Column("programs_from", Text, nullable=False),
)


@dataclass(frozen=True)
class Step:
    """From the schema of a database to that of this version."""

    found: str | None
    wanted: str
    #: Oldest schema whose programs go on working beside this version.
    programs_from: str

    @property
    def is_needed(self) -> bool:
        """Whether there are migrations to apply."""
        return self.found != self.wanted

    @property
    def older_go_on(self) -> bool:
        """Whether the programs that the database is used by now may go on."""
        return self.found is not None and self.found >= self.programs_from


def oldest_programs(connection: Connection) -> str | None:
    """Return the oldest schema whose programs work with a database; None where it does not say."""
    if not connection.dialect.has_table(connection, schema_compatibility.name):
        return None
    return connection.scalar(select(schema_compatibility.c.programs_from))


def note_oldest(connection: Connection, programs_from: str) -> None:
    """Write which programs work with a database from now on."""
    statement = insert(schema_compatibility).values(id=1, programs_from=programs_from)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_={"programs_from": programs_from})
    )
