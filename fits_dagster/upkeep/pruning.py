"""Pruning and vacuum: what would else grow without bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import TextClause

from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.sites import Site

__all__ = ["prune_records", "vacuum"]

_BATCH: Final = 10_000
_DAY_S: Final = 86400.0

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
        Time that the histories of files, their uploads and the audit are kept.
    """
    pruned = {
        table: _delete(
            site,
            LEDGER.with_parts("prune", table=table, column=column),
            (keep_days if days is None else days) * _DAY_S,
        )
        for table, (column, days) in _OLD.items()
    }
    pruned["upload"] = _delete(site, LEDGER["prune_uploads"], keep_days * _DAY_S)
    return pruned


def _delete(site: Site, statement: TextClause, seconds: float) -> int:
    """Delete in batches until nothing is left that is so old; returns how many rows."""
    deleted = 0
    while True:
        with site.engine.begin() as connection:
            count = connection.execute(statement, {"seconds": seconds, "batch": _BATCH}).rowcount
        deleted += count
        if not count:
            return deleted


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
