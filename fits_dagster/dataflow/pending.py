"""What there is to do: questions that sensors, runs and pages ask of the queues."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from fits_dagster.dataflow.drain import worker_name
from fits_dagster.dataflow.site import Site

__all__ = [
    "QueueDepth",
    "drain_heartbeat",
    "due_nights",
    "has_work_in_hand",
    "live_runs",
    "queue_depths",
    "request_stop",
]

_HEARTBEAT_S = 2.0
#: A drain whose heartbeat is older than this is dead.
DEAD_AFTER_S = 20.0
#: Work that comes due this soon keeps a run waiting for it.
_SOON_S = 2.0


@dataclass(frozen=True)
class QueueDepth:
    """Numbers of one stage's queue."""

    stage: str
    waiting: int
    running: int
    failed: int


def queue_depths(connection: Connection) -> Mapping[str, QueueDepth]:
    """Count the items of every stage by state."""
    rows = connection.execute(
        text("""
        select stage, count(*) filter (where state = 'waiting') as waiting,
               count(*) filter (where state = 'running') as running,
               count(*) filter (where state = 'failed') as failed
        from work_item group by stage
        """)
    ).mappings()
    return {row["stage"]: QueueDepth(**row) for row in rows}


def due_nights(connection: Connection, stages: Sequence[str], *, settled_s: float = 0.0) -> Mapping[str, int]:
    """Return the nights with work that is due in some stages, newest first, with the number of items.

    Parameters
    ----------
    settled_s
        Leave out items added less than this many seconds ago (the run that added them is about to take
        them).
    """
    rows = connection.execute(
        text("""
        select night, count(*) from work_item
        where state = 'waiting' and stage = any(:stages) and not_before <= now()
          and stage not in (select stage from pause)
          and added_at <= now() - make_interval(secs => :settled)
        group by night order by max(priority) desc, night desc
        """),
        {"stages": list(stages), "settled": settled_s},
    )
    return {night: count for night, count in rows}


def has_work_in_hand(connection: Connection, nights: Sequence[str] | None) -> bool:
    """Tell whether anything of these nights is being worked on, or is due now or within moments."""
    return bool(
        connection.scalar(
            text("""
            select exists (select 1 from work_item
                where (cast(:nights as text[]) is null or night = any(cast(:nights as text[])))
                  and (state = 'running'
                       or (state = 'waiting' and not_before <= now() + make_interval(secs => :soon)
                           and stage not in (select stage from pause))))
            """),
            {"nights": list(nights) if nights is not None else None, "soon": _SOON_S},
        )
    )


def live_runs(connection: Connection) -> set[str]:
    """Return the runs of which some stage has a fresh heartbeat."""
    rows = connection.scalars(
        text("select distinct run_id from drain where heartbeat > now() - make_interval(secs => :dead)"),
        {"dead": DEAD_AFTER_S},
    )
    return set(rows)


_BEAT = text("update drain set heartbeat = now() where id = :id returning stop_requested")


def request_stop(connection: Connection, run_id: str | None = None) -> None:
    """Ask drains to finish the files in hand, release the rest, and end: those of one run, or all."""
    connection.execute(
        text("update drain set stop_requested = true where cast(:run as text) is null or run_id = :run"),
        {"run": run_id},
    )


@contextmanager
def drain_heartbeat(
    site: Site, run_id: str, stage: str, nights: Sequence[str] | None
) -> Iterator[threading.Event]:
    """Show that a run works on a stage for as long as the context lasts and the process lives.

    Yields
    ------
    threading.Event
        Set when somebody asks the drain to end in good order (:func:`request_stop`).
    """
    with site.engine.begin() as connection:
        drain_id = connection.scalar(
            text("""
            insert into drain (run_id, stage, nights, owner)
            values (:run_id, :stage, cast(:nights as jsonb), :owner) returning id
            """),
            {"run_id": run_id, "stage": stage, "nights": json.dumps(nights), "owner": worker_name()},
        )
    over, stop = threading.Event(), threading.Event()

    def beat() -> None:
        while not over.wait(_HEARTBEAT_S):
            try:
                with site.engine.begin() as connection:
                    if connection.scalar(_BEAT, {"id": drain_id}):
                        stop.set()
            except DBAPIError:
                continue

    thread = threading.Thread(target=beat, name="drain-heartbeat", daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        over.set()
        thread.join()
        with site.engine.begin() as connection:
            connection.execute(
                text("delete from drain where id = :id or heartbeat < now() - interval '1 day'"),
                {"id": drain_id},
            )
