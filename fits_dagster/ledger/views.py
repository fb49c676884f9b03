"""What the queue status page and ``fits-dagster status`` show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, text

from fits_dagster.fits.names import trimmed
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


_COLUMNS = "id, filename, path, state, added_at, not_before, failed_at, attempts, reason, error, run_id"
# one pass over the table for all stages
_COUNTS = text("""
select stage,
       count(*) filter (where state = 'waiting' and not_before <= now()) as due,
       count(*) filter (where state = 'running') as running,
       count(*) filter (where state = 'waiting' and not_before > now() and attempts > 0) as retrying,
       count(*) filter (where state = 'waiting' and not_before > now() and attempts <= 0) as deferred,
       count(*) filter (where state = 'failed') as failed,
       min(added_at) filter (where state = 'waiting') as oldest
from work_item where stage = any(:stages) group by stage
""")
# each half is the beginning of an index; one ``order by`` over both would sort the whole queue
_WAITING = f"""
(select {_COLUMNS} from work_item where stage = :stage and state = 'running'
 order by added_at, id limit :shown)
union all
(select {_COLUMNS} from work_item where stage = :stage and state = 'waiting'
 order by {{order}} limit :shown)
limit :shown
"""
_WAITING_BY_AGE = text(_WAITING.format(order="added_at, id"))
_WAITING_BY_NAME = text(_WAITING.format(order="filename desc, id"))
_ERRORS = text(f"""
select {_COLUMNS} from work_item where stage = :stage and state = 'failed'
order by failed_at desc, id desc limit :shown
""")
_REASONS = text("""
select stage, coalesce(reason, '') as reason, count(*) as number from work_item
where stage = any(:stages) and state = 'failed' group by 1, 2 order by number desc, reason
""")
# slots lie on the clock, so that a finished one never changes
_THROUGHPUT = text(f"""
select stage, date_bin('{SLOT_SECONDS} s', at, 'epoch') as start,
       count(*) filter (where outcome not in ('failed', 'retrying')) as done,
       count(*) filter (where outcome = 'failed') as failed,
       count(*) filter (where outcome = 'retrying') as retrying
from event
where at >= date_bin('{SLOT_SECONDS} s', now() - interval '1 hour', 'epoch') and stage = any(:stages)
group by 1, 2 order by 1, 2
""")


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
    now: datetime = connection.execute(text("select now()")).scalar_one()
    counts = {row.pop("stage"): row for row in map(dict, connection.execute(_COUNTS, asked).mappings())}
    reasons: dict[str, dict[str, int]] = defaultdict(dict)
    for stage, reason, number in connection.execute(_REASONS, asked):
        reasons[stage][reason] = number
    throughput: dict[str, list[Slot]] = defaultdict(list)
    for stage, *slot in connection.execute(_THROUGHPUT, asked):
        throughput[stage].append(Slot(*slot))
    paused = {
        stage: Pause(who, since)
        for stage, who, since in connection.execute(text("select stage, paused_by, since from pause"))
    }
    views = {}
    for stage in stages:
        values = {"stage": stage, "shown": shown}
        waiting = _WAITING_BY_NAME if stage in by_name else _WAITING_BY_AGE
        views[stage] = QueueView(
            now=now,
            **counts.get(stage, {}),
            waiting=[QueueRow(**row) for row in connection.execute(waiting, values).mappings()],
            errors=[QueueRow(**row) for row in connection.execute(_ERRORS, values).mappings()],
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


_ITEM = text(f"""
select {_COLUMNS}, stage, night, destination, traceback from work_item where id = :id and stage = :stage
""")


def item_detail(connection: Connection, stage: str, item_id: int) -> ItemDetail | None:
    """Return one item with its traceback and the history of its file; None when it is gone."""
    row = connection.execute(_ITEM, {"id": item_id, "stage": stage}).mappings().one_or_none()
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
        text("select filename, at from event where stage = :stage and outcome not in ('failed', 'retrying') "
             "order by at desc limit 1"),
        {"stage": stage},
    ).one_or_none()  # fmt: skip
    return (row.filename, row.at) if row is not None else None
