"""Pruning and vacuum: what would else grow without bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.sites import Site

__all__ = ["prune_records", "vacuum"]

_BATCH: Final = 10_000

#: What is deleted, after how many days; a null stands for the days of the histories.
_OLD: Final[Mapping[str, tuple[str, float | None]]] = {
    "event": ("at", None),
    "audit": ("at", None),
    "login_failure": ("at", 30.0),
    "session": ("expires_at", 0.0),
}


def prune_records(site: Site, keep_days: float) -> Mapping[str, int]:
    """Delete old records of what happened, in batches; returns how many of each table.

    Parameters
    ----------
    keep_days
        Time that the histories of files and the audit are kept.
    """
    pruned = {}
    for table, (column, days) in _OLD.items():
        statement = LEDGER.with_parts("prune", table=table, column=column)
        values = {"seconds": (keep_days if days is None else days) * 86400.0, "batch": _BATCH}
        pruned[table] = 0
        while True:
            with site.engine.begin() as connection:
                count = connection.execute(statement, values).rowcount
            pruned[table] += count
            if count < _BATCH:
                break
    return pruned


def vacuum(site: Site) -> Sequence[str]:
    """Vacuum the site's database, and analyse the tables of which more than a fiftieth has changed.

    Returns
    -------
    sequence of str
        The tables that were analysed, with their schema.
    """
    with site.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("vacuum")
        changed = connection.scalars(LEDGER["tables_changed"]).all()
        if changed:
            connection.exec_driver_sql(f"analyze {', '.join(changed)}")
    return changed
