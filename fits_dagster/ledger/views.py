"""What the queue status page and ``fits-dagster status`` show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from fits_dagster.fits.names import trimmed
from fits_dagster.ledger.queries import QUERIES
from fits_dagster.records.history import FileEvent, file_events

__all__ = [
    "SLOT_SECONDS",
    "ItemDetail",
    "Pause",
    "QueueRow",
    "QueueView",
    "Slot",
    "item_detail",
    "last_files",
    "queue_views",
]

_SHOWN = 20
#: Length of one bar of the throughput, seconds.
SLOT_SECONDS = 120


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
    run_id: str


@dataclass(frozen=True)
class Slot:
    """What a stage did in one piece of the last hour."""

    start: datetime
    done: int
    failed: int
    #: Attempts after which the file was put off.
    retrying: int


@dataclass(frozen=True)
class Pause:
    """A stage takes no work for now."""

    paused_by: str
    since: datetime


@dataclass(frozen=True)
class QueueView:
    """A queue as the page shows it: totals, the first rows of both columns, what it did of late."""

    #: The database's clock.
    now: datetime
    due: int = 0
    running: int = 0
    #: Waiting for another attempt after a failed one.
    retrying: int = 0
    #: Not ready yet; no attempt has failed.
    deferred: int = 0
    failed: int = 0
    #: When the item was added that waits longest.
    oldest: datetime | None = None
    waiting: Sequence[QueueRow] = ()
    errors: Sequence[QueueRow] = ()
    #: Failed items by reason, the most frequent first.
    reasons: Mapping[str, int] = field(default_factory=dict)
    throughput: Sequence[Slot] = ()
    paused: Pause | None = None

    @property
    def total_waiting(self) -> int:
        """Everything that has not failed."""
        return self.due + self.running + self.retrying + self.deferred

    @property
    def total(self) -> int:
        """Everything on the queue."""
        return self.total_waiting + self.failed


def queue_views(
    connection: Connection, stages: Sequence[str], *, by_name: Collection[str] = (), shown: int = _SHOWN
) -> Mapping[str, QueueView]:
    """Look at the queues of some stages.

    Parameters
    ----------
    by_name
        Those whose waiting rows are listed by name, the largest first; others by the time they were added.
    shown
        Most rows in each of the two columns.
    """
    asked = {"stages": list(stages)}
    now: datetime = connection.execute(QUERIES["server_time"]).scalar_one()
    counts = {
        row.pop("stage"): row
        for row in map(dict, connection.execute(QUERIES["queue_counts"], asked).mappings())
    }
    reasons: dict[str, dict[str, int]] = defaultdict(dict)
    for stage, reason, number in connection.execute(QUERIES["queue_reasons"], asked):
        reasons[stage][reason] = number
    throughput: dict[str, list[Slot]] = defaultdict(list)
    for stage, *slot in connection.execute(QUERIES["queue_throughput"], {**asked, "slot": SLOT_SECONDS}):
        throughput[stage].append(Slot(*slot))
    paused = {stage: Pause(who, since) for stage, who, since in connection.execute(QUERIES["pauses"])}
    views = {}
    for stage in stages:
        values = {"stage": stage, "shown": shown}
        order = "filename desc, id" if stage in by_name else "added_at, id"
        waiting = QUERIES.with_parts("queue_waiting", order=order)
        views[stage] = QueueView(
            now=now,
            **counts.get(stage, {}),
            waiting=[QueueRow(**row) for row in connection.execute(waiting, values).mappings()],
            errors=[
                QueueRow(**row) for row in connection.execute(QUERIES["queue_failed"], values).mappings()
            ],
            reasons=reasons[stage],
            throughput=throughput[stage],
            paused=paused.get(stage),
        )
    return views


@dataclass(frozen=True)
class ItemDetail:
    """Everything about one work item."""

    row: QueueRow
    stage: str
    night: str
    destination: str
    traceback: str | None
    history: Sequence[FileEvent]


def item_detail(connection: Connection, stage: str, item_id: int) -> ItemDetail | None:
    """Return one item with its traceback and the history of its file; None when it is gone."""
    row = connection.execute(QUERIES["item_detail"], {"id": item_id, "stage": stage}).mappings().one_or_none()
    if row is None:
        return None
    own = ("stage", "night", "destination", "traceback")
    return ItemDetail(
        row=QueueRow(**{k: v for k, v in row.items() if k not in own}),
        **{k: row[k] for k in own},
        history=file_events(connection, trimmed(row["filename"]), limit=50),
    )


def last_files(connection: Connection, stage: str) -> tuple[str, datetime] | None:
    """Return name and time of the last file that got through a stage."""
    row = connection.execute(
        QUERIES["last_files"],
        {"stage": stage},
    ).one_or_none()  # fmt: skip
    return (row.filename, row.at) if row is not None else None
