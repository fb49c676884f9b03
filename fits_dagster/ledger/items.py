"""The ledger of work items: every statement that moves an item from one state to another.

The states and their transitions are described in :mod:`fits_dagster.ledger.tables`. Each function is one
statement (or two) on the caller's transaction, so that the end of a stage and the follow-up work commit
together: there is no moment at which a file is between queues.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from fits_dagster.fits.names import night_of, sort_key, trimmed
from fits_dagster.ledger.announcements import announce
from fits_dagster.ledger.leases import ALONE_AFTER, BACK, MINE, Lease, forgive, new_lease, reap, renew

__all__ = [
    "BACKGROUND",
    "UNDATED",
    "Lease",
    "NewWork",
    "WorkItem",
    "add_work",
    "claim",
    "complete",
    "defer",
    "fail",
    "forgive",
    "new_lease",
    "night_label",
    "postpone",
    "reap",
    "release",
    "renew",
    "retry_delay",
]

#: Priority of backfills: below zero, work gives way to everything else.
BACKGROUND = -1

#: Night label of files whose name holds no date.
UNDATED = "00000000"

_FIRST_NIGHT, _LAST_NIGHT = "19990101", "20991231"


def night_label(filename: str) -> str:
    """Return the night of a file name, or :data:`UNDATED` where it has none."""
    night = night_of(filename)
    return night if night is not None and _FIRST_NIGHT <= night <= _LAST_NIGHT else UNDATED


@dataclass(frozen=True, kw_only=True)
class NewWork:
    """Work to be added to a queue."""

    stage: str
    filename: str
    path: str = ""
    destination: str = ""
    priority: int = 0
    #: Seconds from now before which it must not start.
    delay: float = 0.0
    force: bool = False
    force_md5: bool = False
    no_defer: bool = False
    subject_id: int | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WorkItem:
    """A claimed item: one file, for one stage, held under a lease."""

    id: int
    stage: str
    path: str
    filename: str
    destination: str
    night: str
    priority: int
    attempts: int
    #: Workers that have died with it in hand since it was last done.
    deaths: int = 0
    added_at: datetime
    force: bool
    force_md5: bool
    no_defer: bool
    subject_id: int | None
    payload: Mapping[str, Any]

    @property
    def name(self) -> str:
        """File name without ``.bz2``."""
        return trimmed(self.filename)

    @property
    def is_dangerous(self) -> bool:
        """Whether so many workers have died with it that it is taken alone."""
        return self.deaths >= ALONE_AFTER

    @property
    def key(self) -> str:
        """Path and file name, as in the store."""
        return f"{self.path}/{self.filename}" if self.path else self.filename


_ADD = text("""
insert into work_item as w (stage, path, filename, destination, night, sort_key, priority, not_before,
                            force, force_md5, no_defer, subject_id, payload)
values (:stage, :path, :filename, :destination, :night, :sort_key, :priority,
        now() + make_interval(secs => :delay), :force, :force_md5, :no_defer, :subject_id,
        cast(:payload as jsonb))
on conflict (stage, path, filename, destination) where state = 'waiting' do update set
    force = w.force or excluded.force,
    force_md5 = w.force_md5 or excluded.force_md5,
    no_defer = w.no_defer or excluded.no_defer,
    priority = greatest(w.priority, excluded.priority),
    not_before = least(w.not_before, excluded.not_before),
    subject_id = coalesce(excluded.subject_id, w.subject_id),
    payload = w.payload || excluded.payload
""")


def add_work(connection: Connection, work: Iterable[NewWork]) -> int:
    """Add work; what already waits is merged: flags are OR-ed, the earlier time and higher priority win.

    An item that is running gets a second, waiting one behind it.

    Returns
    -------
    int
        Number of items given.
    """
    rows = sorted(
        (
            {
                "stage": w.stage,
                "path": w.path,
                "filename": w.filename,
                "destination": w.destination,
                "night": night_label(w.filename),
                "sort_key": sort_key(w.filename),
                "priority": w.priority,
                "delay": w.delay,
                "force": w.force,
                "force_md5": w.force_md5,
                "no_defer": w.no_defer,
                "subject_id": w.subject_id,
                "payload": json.dumps(dict(w.payload)),
            }
            for w in work
        ),
        # one order for everybody, else two transactions that merge the same items deadlock
        key=lambda row: (row["stage"], row["path"], row["filename"], row["destination"]),
    )
    if rows:
        connection.execute(_ADD, rows)
        announce(connection, {str(row["stage"]) for row in rows})
    return len(rows)


# an item that may have killed its workers is claimed alone, when its turn comes
_CLAIM = """
with due as materialized (
    select w.id, w.deaths, w.priority, w.sort_key, w.added_at from work_item w
    where w.stage = :stage and w.state = 'waiting' and w.not_before <= now()
      and not exists (select 1 from pause where pause.stage = :stage)
      and (cast(:nights as text[]) is null or w.night = any(cast(:nights as text[])))
      and (cast(:background as boolean) is null or (w.priority < 0) = cast(:background as boolean))
      and not exists (select 1 from work_item r
                      where r.state = 'running' and r.stage = w.stage and r.path = w.path
                        and r.filename = w.filename and r.destination = w.destination)
    order by {order} limit :limit for update skip locked),
  first as (select w.id, w.deaths >= :alone as alone from due w order by {order} limit 1),
  picked as (select w.id from due w, first
             where case when first.alone then w.id = first.id else w.deaths < :alone end)
update work_item w
set state = 'running', attempts = attempts + 1, lease_owner = :owner, lease_token = :token,
    lease_expires = now() + make_interval(secs => :seconds), run_id = :run_id
from picked where w.id = picked.id
returning w.id, w.stage, w.path, w.filename, w.destination, w.night, w.priority, w.attempts, w.deaths,
          w.added_at, w.force, w.force_md5, w.no_defer, w.subject_id, w.payload, w.sort_key
"""
_CLAIM_NEWEST = text(_CLAIM.format(order="w.priority desc, w.sort_key desc, w.id"))
_CLAIM_OLDEST = text(_CLAIM.format(order="w.added_at, w.id"))


def claim(
    connection: Connection,
    stage: str,
    lease: Lease,
    *,
    limit: int,
    nights: Sequence[str] | None = None,
    run_id: str = "",
    oldest: bool = False,
    background: bool | None = None,
) -> list[WorkItem]:
    """Claim work that is due, newest night first; never what somebody else holds.

    Parameters
    ----------
    limit
        Most items to take.
    nights
        Night labels to keep to; None for all.
    oldest
        Take what was added first instead, so that old work never starves behind new files.
    background
        Keep to work of low priority (true) or to all other work (false); None for both.
    """
    rows = connection.execute(
        _CLAIM_OLDEST if oldest else _CLAIM_NEWEST,
        {
            "stage": stage,
            "nights": list(nights) if nights is not None else None,
            "limit": limit,
            "owner": lease.owner,
            "token": lease.token,
            "seconds": lease.seconds,
            "run_id": run_id,
            "background": background,
            "alone": ALONE_AFTER,
        },
    ).mappings()
    ordered = sorted(rows, key=lambda r: (r["priority"], r["sort_key"]), reverse=True)
    return [WorkItem(**{k: v for k, v in row.items() if k != "sort_key"}) for row in ordered]


_COMPLETE = text(f"""
with done as (delete from work_item where {MINE} returning id, stage, path, filename, destination),
     cleared as (delete from work_item f using done d
                 where f.state = 'failed' and f.stage = d.stage and f.path = d.path
                   and f.filename = d.filename and f.destination = d.destination)
select id from done
""")


def complete(connection: Connection, lease: Lease, ids: Sequence[int]) -> set[int]:
    """End items with success, and remove failed ones of the same file and stage.

    Returns
    -------
    set of int
        The ids that were still ours. The caller must roll back what it wrote for the others: their lease
        was lost and another worker has them.
    """
    return set(connection.scalars(_COMPLETE, {"ids": list(ids), "token": lease.token}))


_DEFER = text(
    BACK.format(
        where=MINE,
        locked="",
        deaths="m.deaths",
        changes="attempts = w.attempts - 1, not_before = now() + make_interval(secs => :delay), "
        "payload = w.payload || cast(:payload as jsonb), reason = :reason, error = :error",
    )
)
_POSTPONE = text(
    BACK.format(
        where=MINE,
        locked="",
        # its worker has come through it
        deaths="0",
        changes="not_before = now() + make_interval(secs => :delay), reason = :reason, error = :error, "
        "traceback = :traceback",
    )
)


def defer(
    connection: Connection,
    lease: Lease,
    item_id: int,
    *,
    delay: float,
    reason: str,
    message: str,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Put an item back because it is not ready yet; this does not count as an attempt."""
    connection.execute(
        _DEFER,
        {
            "ids": [item_id],
            "token": lease.token,
            "delay": delay,
            "reason": reason,
            "error": message,
            "payload": json.dumps(dict(payload or {})),
        },
    )


def release(connection: Connection, lease: Lease, ids: Sequence[int]) -> None:
    """Put items back untouched, because their worker stops in good order."""
    connection.execute(
        _DEFER,
        {
            "ids": list(ids),
            "token": lease.token,
            "delay": 0,
            "reason": None,
            "error": None,
            "payload": "{}",
        },
    )


def postpone(
    connection: Connection,
    lease: Lease,
    item_id: int,
    *,
    delay: float,
    reason: str,
    message: str,
    trace: str,
) -> None:
    """Put an item back after a transient error; it is tried again after ``delay`` seconds."""
    connection.execute(
        _POSTPONE,
        {
            "ids": [item_id],
            "token": lease.token,
            "delay": delay,
            "reason": reason,
            "error": message,
            "traceback": trace,
        },
    )


_FAIL = text(f"""
with done as (update work_item set state = 'failed', failed_at = now(), reason = :reason, error = :error,
                     traceback = :traceback, lease_owner = null, lease_token = null, lease_expires = null
              where {MINE} returning id, stage, path, filename, destination),
     older as (delete from work_item f using done d
               where f.state = 'failed' and f.id <> d.id and f.stage = d.stage and f.path = d.path
                 and f.filename = d.filename and f.destination = d.destination)
select id from done
""")


def fail(
    connection: Connection, lease: Lease, item_id: int, *, reason: str, message: str, trace: str
) -> bool:
    """Mark an item as failed; it is kept, with its reason, until somebody deals with it."""
    values = {
        "ids": [item_id],
        "token": lease.token,
        "reason": reason,
        "error": message,
        "traceback": trace,
    }
    return connection.execute(_FAIL, values).first() is not None


def retry_delay(attempts: int, base: float, cap: float, jitter: float) -> float:
    """Return the pause before the next attempt, seconds: doubling from ``base`` to ``cap``.

    Parameters
    ----------
    jitter
        A random number in [0, 1); spreads the pause over its upper half.
    """
    seconds = min(cap, base * 2.0 ** max(0, attempts - 1))
    return seconds * (0.5 + 0.5 * jitter)
