"""Tables of plug-ins: each set in a schema of its own, which no migration of this package looks at."""

from __future__ import annotations

from sqlalchemy import Connection, MetaData
from sqlalchemy.schema import CreateSchema

__all__ = ["ensure_tables"]


def ensure_tables(connection: Connection, tables: MetaData) -> None:
    """Make the schema and those of its tables that are missing; what is there is left as it is."""
    if tables.schema is not None:
        connection.execute(CreateSchema(tables.schema, if_not_exists=True))
    tables.create_all(connection)
