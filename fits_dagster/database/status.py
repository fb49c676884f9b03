"""What the queue status page and ``fits-dagster status`` show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

__all__ = ["ItemDetail", "QueueRow", "QueueView", "item_detail", "last_files", "queue_view"]

_SHOWN = 20


@dataclass(frozen=True)
class QueueRow:
    """One line of a queue."""

    id: int
    filename: str
    path: str
    state: str
    added_at: datetime
    not_before: datetime
    failed_at: datetime | None
    attempts: int
    reason: str | None
    error: str | None


@dataclass(frozen=True)
class QueueView:
    """A queue as the page shows it: totals and the first rows of both columns."""

    total_waiting: int
    total_running: int
    total_errors: int
    waiting: Sequence[QueueRow]
    errors: Sequence[QueueRow]

    @property
    def total(self) -> int:
        """Everything on the queue."""
        return self.total_waiting + self.total_running + self.total_errors


_COLUMNS = "id, filename, path, state, added_at, not_before, failed_at, attempts, reason, error"
_TOTALS = text("""
select count(*) filter (where state = 'waiting') as waiting,
       count(*) filter (where state = 'running') as running,
       count(*) filter (where state = 'failed') as errors
from work_item where stage = :stage
""")
_WAITING = text(f"""
select {_COLUMNS} from work_item where stage = :stage and state in ('waiting', 'running')
order by state = 'running' desc, added_at, id limit :shown
""")
_ERRORS = text(f"""
select {_COLUMNS} from work_item where stage = :stage and state = 'failed'
order by failed_at desc, id desc limit :shown
""")


def queue_view(connection: Connection, stage: str, *, shown: int = _SHOWN) -> QueueView:
    """Look at one stage's queue."""
    totals = connection.execute(_TOTALS, {"stage": stage}).one()
    values = {"stage": stage, "shown": shown}
    return QueueView(
        totals.waiting,
        totals.running,
        totals.errors,
        [QueueRow(**row) for row in connection.execute(_WAITING, values).mappings()],
        [QueueRow(**row) for row in connection.execute(_ERRORS, values).mappings()],
    )


@dataclass(frozen=True)
class ItemDetail:
    """Everything about one work item."""

    row: QueueRow
    stage: str
    night: str
    destination: str
    traceback: str | None
    run_id: str
    history: Sequence[Mapping[str, Any]]


def item_detail(connection: Connection, stage: str, item_id: int) -> ItemDetail | None:
    """Return one item with its traceback and the history of its file; None when it is gone."""
    row = (
        connection.execute(
            text(f"select {_COLUMNS}, stage, night, destination, traceback, run_id from work_item "
                 "where id = :id and stage = :stage"),
            {"id": item_id, "stage": stage},
        )
        .mappings()
        .one_or_none()
    )  # fmt: skip
    if row is None:
        return None
    own = ("stage", "night", "destination", "traceback", "run_id")
    history = connection.execute(
        text("select at, stage, outcome, detail from event where filename = :filename "
             "order by at desc, id desc limit 50"),
        {"filename": row["filename"]},
    ).mappings()  # fmt: skip
    return ItemDetail(
        row=QueueRow(**{k: v for k, v in row.items() if k not in own}),
        **{k: row[k] for k in own},
        history=[dict(h) for h in history],
    )


def last_files(connection: Connection, stage: str) -> tuple[str, datetime] | None:
    """Return name and time of the last file that got through a stage."""
    row = connection.execute(
        text("select filename, at from event where stage = :stage and outcome not in ('failed', 'retrying') "
             "order by at desc limit 1"),
        {"stage": stage},
    ).one_or_none()  # fmt: skip
    return (row.filename, row.at) if row is not None else None
