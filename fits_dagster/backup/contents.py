"""What a database holds, as numbers that can be compared: rows and a digest of each table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from fits_dagster.records.queries import QUERIES as RECORDS

__all__ = ["TableContent", "contents_of", "differences"]


@dataclass(frozen=True)
class TableContent:
    """One table, as it is at one moment."""

    rows: int
    #: The sum of 64-bit hashes of all rows, as text; it does not depend on their order.
    digest: str

    def as_dict(self) -> dict[str, Any]:
        """Write it for the manifest."""
        return asdict(self)


def contents_of(connection: Connection) -> Mapping[str, TableContent]:
    """Read every table of a database, in one snapshot if the transaction has one."""
    found = {}
    for schema, table in connection.execute(RECORDS["all_tables"]).all():
        name = f'"{schema}"."{table}"'
        row = connection.execute(RECORDS.with_parts("table_content", table=name)).one()
        found[f"{schema}.{table}"] = TableContent(row.rows, str(row.digest))
    return found


def differences(one: Mapping[str, TableContent], other: Mapping[str, TableContent]) -> list[str]:
    """Name the tables in which two databases differ, with their rows."""
    return [
        f"{name}: {one[name].rows if name in one else 'no'} | {other[name].rows if name in other else 'no'}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]
