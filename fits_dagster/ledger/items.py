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
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection

from fits_dagster.ledger.announcements import announce
from fits_dagster.ledger.leases import (
    ALONE_AFTER,
    Lease,
    forgive,
    new_lease,
    owner_of,
    reap,
    renew,
    wait_again,
)
from fits_dagster.ledger.queries import QUERIES
from fits_dagster.ledger.scope import EVERYTHING, Scope
from fits_dagster.nights import FileKey

__all__ = [
    "BACKGROUND",
    "CONTENT",
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
    "owner_of",
    "postpone",
    "reap",
    "release",
    "renew",
]

#: Key of a payload: the MD5 of the uncompressed data that a stage has just let go.
CONTENT: Final = "content"
#: Priority of backfills: below zero, work gives way to everything else.
BACKGROUND = -1
#: Items that one statement adds.
_AT_ONCE: Final = 1000


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

    @property
    def file(self) -> FileKey:
        """The file that is to be worked on."""
        return FileKey(self.path, self.filename)


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
        return FileKey(self.path, self.filename).name

    @property
    def content(self) -> str:
        """MD5 of the uncompressed data as the stage before knew it, or was told it; for log lines only."""
        return str(self.payload.get(CONTENT, ""))

    @property
    def is_dangerous(self) -> bool:
        """Whether so many workers have died with it that it is taken alone."""
        return self.deaths >= ALONE_AFTER

    @property
    def key(self) -> str:
        """Path and file name, as in the store."""
        return str(FileKey(self.path, self.filename))


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
                "night": w.file.night,
                "sort_key": w.file.sort_key,
                "priority": w.priority,
                "delay": w.delay,
                "force": w.force,
                "force_md5": w.force_md5,
                "no_defer": w.no_defer,
                "subject_id": w.subject_id,
                "payload": dict(w.payload),
            }
            for w in work
        ),
        # one order for everybody, else two transactions that merge the same items deadlock
        key=_place,
    )
    if rows:
        for part in _each_place_once(rows):
            for begin in range(0, len(part), _AT_ONCE):
                connection.execute(QUERIES["add_work"], {"rows": json.dumps(part[begin : begin + _AT_ONCE])})
        announce(connection, {str(row["stage"]) for row in rows})
    return len(rows)


def _place(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what an item that waits is known by."""
    return (row["stage"], row["path"], row["filename"], row["destination"])


def _each_place_once(rows: Sequence[Mapping[str, Any]]) -> Iterable[Sequence[Mapping[str, Any]]]:
    """Part ordered rows so that a statement meets no item twice: what comes again is merged by the next."""
    parts: list[list[Mapping[str, Any]]] = []
    for _, same in groupby(rows, _place):
        for number, row in enumerate(same):
            if number == len(parts):
                parts.append([])
            parts[number].append({"number": len(parts[number]), **row})
    return parts


def claim(
    connection: Connection,
    stage: str,
    lease: Lease,
    scope: Scope = EVERYTHING,
    *,
    limit: int,
    run_id: str = "",
    oldest: bool = False,
) -> list[WorkItem]:
    """Claim work that is due, newest night first; never what another worker holds.

    Parameters
    ----------
    limit
        Most items to take.
    oldest
        Take what was added first instead, so that old work never starves behind new files.
    """
    # a second key would have all that was added together sorted at every claim
    order = "w.added_at" if oldest else "w.priority desc, w.sort_key desc, w.id"
    rows = connection.execute(
        QUERIES.with_parts("claim", order=order),
        {
            "stage": stage,
            "limit": limit,
            "owner": lease.owner,
            "token": lease.token,
            "seconds": lease.seconds,
            "run_id": run_id,
            "alone": ALONE_AFTER,
            **scope.values(),
        },
    ).mappings()
    ordered = sorted(rows, key=lambda r: (r["priority"], r["sort_key"]), reverse=True)
    return [WorkItem(**{k: v for k, v in row.items() if k != "sort_key"}) for row in ordered]


def complete(connection: Connection, lease: Lease, ids: Sequence[int]) -> set[int]:
    """End items with success, and remove failed ones of the same file and stage.

    Returns
    -------
    set of int
        The ids that were still ours. The caller must roll back what it wrote for the others: their lease
        was lost and another worker has them.
    """
    return set(connection.scalars(QUERIES["complete"], {"ids": list(ids), "token": lease.token}))


_DEFER: Final = QUERIES.with_parts(
    "put_back", which="{held} for update", deaths="m.deaths", changes="{defer}"
)
# its worker has come through it
_POSTPONE: Final = QUERIES.with_parts("put_back", which="{held} for update", deaths="0", changes="{postpone}")


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
    wait_again(
        connection,
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
    wait_again(
        connection,
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
    wait_again(
        connection,
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
    return connection.execute(QUERIES["fail"], values).first() is not None
