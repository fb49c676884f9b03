"""Dagster's event log in PostgreSQL, in which events that come together are written together.

A run of a hundred nights and four assets is made with four hundred events that say what it intends, and ends
with as many that say what it made. Written one by one, each in three transactions, those of a backfill keep
the daemon busy for minutes, beside the files that come meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import dagster as dg
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage

from fits_dagster.orchestration.private import SqlEventLogStorageTable

__all__ = ["BatchedPostgresStorage"]

#: Dagster's own switch: events that it makes together come in batches of up to so many; else one by one.
_BATCH_VARIABLE: Final = "DAGSTER_EVENT_BATCH_SIZE"
_BATCH_SIZE: Final = 1000


class _EventLog(PostgresEventLogStorage):
    """The event log, with batches of what is planned too; Dagster's own knows those of what was made only."""

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Write events that were made together; the same rows as one by one, in few statements."""
        if planned := [each for each in events if _is_planned(each)]:
            self._store_planned(planned)
        if others := [each for each in events if not _is_planned(each)]:
            super().store_event_batch(others)

    def store_asset_check_event(self, event: dg.EventLogEntry, event_id: int | None) -> None:
        """Note a check that is planned once, not once for each night of its run: checks have no nights."""
        super().store_asset_check_event(_without_nights(event), event_id)

    def _store_planned(self, events: Sequence[dg.EventLogEntry]) -> None:
        statement = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        rows = [self._event_to_row(event) for event in events]
        with self._connect() as connection:
            ids = connection.scalars(statement, rows).all()
        # of an asset the last event is what counts
        last = {
            event.get_dagster_event().asset_key: (event, event_id)
            for event, event_id in zip(events, ids, strict=True)
        }
        for event, event_id in last.values():
            self.store_asset_event(event, event_id)


class BatchedPostgresStorage(DagsterPostgresStorage):
    """Dagster's storage in PostgreSQL, with an event log that writes batches."""

    def __init__(self, postgres_url: str, should_autocreate_tables: bool = True) -> None:
        super().__init__(postgres_url, should_autocreate_tables)
        self._event_log_storage: Any = _EventLog(postgres_url, should_autocreate_tables)
        os.environ.setdefault(_BATCH_VARIABLE, str(_BATCH_SIZE))


def _without_nights(event: dg.EventLogEntry) -> dg.EventLogEntry:
    entry = event.get_dagster_event()
    if entry.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
        return event
    planned = entry.asset_check_planned_data
    alone = type(planned)(asset_key=planned.asset_key, check_name=planned.check_name)
    return event._replace(dagster_event=entry._replace(event_specific_data=alone))


def _is_planned(event: dg.EventLogEntry) -> bool:
    return event.dagster_event_type is dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
