"""The queues of a site as the status page names them, and their state in the form of the poll's answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fits_dagster.ledger.views import SLOT_SECONDS, QueueRow, QueueView, queue_views
from fits_dagster.nights import FileKey
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site
from fits_dagster.stages.registry import all_stages, stages_of

__all__ = ["Queue", "find_queue", "queue_of_stage", "queue_states", "queues_of", "run_link", "since"]


@dataclass(frozen=True)
class Queue:
    """One tab."""

    short: str
    stage: str
    title: str
    lists_by_name: bool = False


_RUN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def queues_of(site: SiteSettings) -> Sequence[Queue]:
    """Return the tabs of a site in order; after those of every site come those that it alone has."""
    always = [stage for stage in all_stages().values() if stage.always_has_tab]
    own = [stage for stage in stages_of(site) if not stage.always_has_tab]
    return [Queue(stage.tab, stage.name, stage.title, stage.lists_by_name) for stage in (*always, *own)]


def find_queue(site: Site, short: str) -> Queue | None:
    """Return a queue by its short name."""
    return next((queue for queue in queues_of(site.settings) if queue.short == short), None)


def queue_of_stage(site: Site, stage: str) -> Queue | None:
    """Return the queue of a stage."""
    return next((queue for queue in queues_of(site.settings) if queue.stage == stage), None)


def queue_states(site: Site) -> list[tuple[Queue, dict[str, Any]]]:
    """Look at all queues of a site; each state is an object of the poll's answer, with its token."""
    queues = queues_of(site.settings)
    by_name = [queue.stage for queue in queues if queue.lists_by_name]
    # all statements see one moment: a file that is new in the rows would else be missing in the counts
    with site.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        views = queue_views(connection, [queue.stage for queue in queues], by_name=by_name)
    return [(queue, _state(queue, views[queue.stage])) for queue in queues]


def run_link(run_id: str) -> str:
    """Return the address of a run's page; empty for work that no Dagster run did."""
    return f"/dagster/runs/{run_id}" if _RUN_ID.fullmatch(run_id) else ""


def since(moment: datetime | None) -> str:
    """Write a time as the page does."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment is not None else "Unknown"


def _state(queue: Queue, view: QueueView) -> dict[str, Any]:
    """Put a queue into the form of the poll's answer.

    Times stand for ages, which the browser works out: an age that grows is no change.
    """
    state = {
        "queue": queue.short,
        "waiting": [_row(row, view.now) for row in view.waiting],
        "errors": [_row(row, view.now) for row in view.errors],
        "total_waiting": view.total_waiting,
        "total_errors": view.failed,
        "due": view.due,
        "running": view.running,
        "retrying": view.retrying,
        "deferred": view.deferred,
        "oldest": _iso(view.oldest),
        "reasons": [{"reason": reason, "count": count} for reason, count in view.reasons.items()],
        "slot_seconds": SLOT_SECONDS,
        "throughput": [[int(s.start.timestamp()), s.done, s.failed, s.retrying] for s in view.throughput],
        "paused": {"by": view.paused.paused_by, "since": _iso(view.paused.since)} if view.paused else None,
    }
    shown = json.dumps(state, sort_keys=True).encode()
    return {**state, "token": hashlib.md5(shown, usedforsecurity=False).hexdigest()}


def _row(row: QueueRow, now: datetime) -> dict[str, Any]:
    return {
        "oid": row.id,
        "filename": str(FileKey(row.path, row.filename)),
        "since": since(row.added_at),
        "added": _iso(row.added_at),
        "failed": _iso(row.failed_at),
        "state": _word(row, now),
        "attempts": row.attempts,
        "reason": row.reason or "",
        "error": row.error or "",
        "run": run_link(row.run_id),
    }


def _word(row: QueueRow, now: datetime) -> str:
    """Say what a row is doing, in one word or two."""
    if row.state == "waiting" and row.not_before > now:
        moment = row.not_before.astimezone(UTC)
        when = f"{moment:%H:%M:%S}" if moment.date() == now.astimezone(UTC).date() else since(moment)
        return f"{'retry' if row.attempts > 0 else 'later'} {when}"
    return {"waiting": "due", "running": "running", "failed": "failed"}[row.state]


def _iso(moment: datetime | None) -> str | None:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment is not None else None
