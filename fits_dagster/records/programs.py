"""Programs: what the observing database tells of them; searches by people and titles look here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Column, Connection, PrimaryKeyConstraint, Table, Text, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from fits_dagster.records.tables import metadata

__all__ = [
    "Program",
    "find_program",
    "find_programs",
    "program",
    "publication",
    "publications_of",
    "save_program",
    "save_publications",
]

program = Table(
    "program",
    metadata,
    Column("program_id", Text, primary_key=True),
    #: Names of the principal investigator and of the others.
    Column("pi_coi_names", Text, nullable=False, server_default=""),
    Column("title", Text, nullable=False, server_default=""),
)

#: Which programs led to which publications.
publication = Table(
    "programpublication",
    metadata,
    Column("program_id", Text, nullable=False),
    Column("bibcode", Text, nullable=False, index=True),
    PrimaryKeyConstraint("program_id", "bibcode"),
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """One row of the table of programs."""

    program_id: str
    pi_coi_names: str = ""
    title: str = ""


def save_program(connection: Connection, row: Program) -> None:
    """Write a program, new or changed."""
    values = asdict(row)
    changed = {name: value for name, value in values.items() if name != "program_id"}
    connection.execute(
        upsert(program).values(values).on_conflict_do_update(index_elements=["program_id"], set_=changed)
    )


def save_publications(connection: Connection, program_id: str, bibcodes: Iterable[str]) -> None:
    """Write the publications of a program, in place of those that were known."""
    connection.execute(delete(publication).where(publication.c.program_id == program_id))
    rows = [{"program_id": program_id, "bibcode": each} for each in sorted(set(bibcodes))]
    if rows:
        connection.execute(insert(publication), rows)


def publications_of(connection: Connection, program_id: str) -> Sequence[str]:
    """Return the bibcodes of a program's publications."""
    query = select(publication.c.bibcode).where(publication.c.program_id == program_id)
    return connection.scalars(query.order_by(publication.c.bibcode)).all()


def find_programs(connection: Connection, words: str, *, limit: int = 500) -> Sequence[Program]:
    """Return the programs of which all words stand in identifier, title or names; by identifier."""
    known = func.concat_ws(" ", program.c.program_id, program.c.title, program.c.pi_coi_names)
    query = program.select().order_by(program.c.program_id).limit(limit)
    for word in words.split():
        query = query.where(known.icontains(word, autoescape=True))
    return [Program(**row) for row in connection.execute(query).mappings()]


def find_program(connection: Connection, program_id: str) -> Program | None:
    """Return what is known of a program."""
    row = connection.execute(program.select().where(program.c.program_id == program_id)).mappings()
    found = row.one_or_none()
    return None if found is None else Program(**found)
