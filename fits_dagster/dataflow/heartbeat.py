"""Who is at work: the heartbeats of runs and their stages, and how to ask them to end."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import ARRAY, TEXT, Connection, bindparam, text
from sqlalchemy.exc import DBAPIError

from fits_dagster.dataflow.site import Site

__all__ = [
    "dead_runs",
    "live_runs",
    "nights_in_background",
    "request_stop",
    "show_heartbeat",
    "worker_name",
]

_HEARTBEAT_S = 2.0
#: A drain whose heartbeat is older than this is dead.
_DEAD_AFTER_S = 20.0
#: By then all stages of a run are at work, or one of them never will be.
_COMPLETE_AFTER_S = 60.0


def worker_name() -> str:
    """Return who is at work here: host, process, thread."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident() % 100000}"


def nights_in_background(connection: Connection) -> set[str]:
    """Return the nights of whose background work a living run takes care."""
    rows = connection.scalars(
        text("""
        select distinct jsonb_array_elements_text(nights) from drain
        where background is not false and jsonb_typeof(nights) = 'array' and ended_at is null
          and heartbeat > now() - make_interval(secs => :dead)
        """),
        {"dead": _DEAD_AFTER_S},
    )
    return set(rows)


def live_runs(connection: Connection) -> set[str]:
    """Return the runs of which some stage has a fresh heartbeat."""
    rows = connection.scalars(
        text("""
        select distinct run_id from drain
        where ended_at is null and heartbeat > now() - make_interval(secs => :dead)
        """),
        {"dead": _DEAD_AFTER_S},
    )
    return set(rows)


def dead_runs(connection: Connection) -> set[str]:
    """Return the runs that were at work and of which no stage has a fresh heartbeat any more."""
    rows = connection.scalars(
        text("""
        select run_id from drain where ended_at is null group by run_id
        having max(heartbeat) <= now() - make_interval(secs => :dead)
        """),
        {"dead": _DEAD_AFTER_S},
    )
    return set(rows)


_BEAT = text("""
update drain d set heartbeat = now() where id = :id
returning stop_requested
    or exists (select from drain o
               where o.run_id = d.run_id and o.stage = any(:together) and o.ended_at is not null)
    or (started_at < now() - make_interval(secs => :complete)
        and (select count(distinct o.stage) from drain o
             where o.run_id = d.run_id and o.stage = any(:together)
               and (o.id = d.id or o.heartbeat > now() - make_interval(secs => :dead)))
            < cardinality(:together))
""").bindparams(bindparam("together", type_=ARRAY(TEXT)), dead=_DEAD_AFTER_S, complete=_COMPLETE_AFTER_S)


def request_stop(connection: Connection, run_id: str | None = None) -> None:
    """Ask drains to finish the files in hand, release the rest, and end: those of one run, or all."""
    connection.execute(
        text("update drain set stop_requested = true where cast(:run as text) is null or run_id = :run"),
        {"run": run_id},
    )


@contextmanager
def show_heartbeat(
    site: Site,
    run_id: str,
    stage: str,
    nights: Sequence[str] | None = (),
    *,
    background: bool | None = None,
    together: Collection[str] = (),
) -> Iterator[threading.Event]:
    """Show that a run works on a stage for as long as the context lasts and the process lives.

    Parameters
    ----------
    stage
        A stage, or what else the run does for the site.
    nights
        Nights of whose queue it takes care, none by default; None for all.
    background
        Whether it keeps to work of low priority (true), to all other work (false), or takes both.
    together
        The stages that the run works on side by side. They end together: when one has ended, has died, or has
        not begun after a minute, the others are asked to end. A run that went on without it would keep its
        nights to itself, and that stage's files would wait for as long as there are any.

    Yields
    ------
    threading.Event
        Set when the drain should end in good order: somebody asks for it (:func:`request_stop`), or the run
        is ending.
    """
    with site.engine.begin() as connection:
        drain_id = connection.scalar(
            text("""
            insert into drain (run_id, stage, nights, background, owner)
            values (:run_id, :stage, cast(:nights as jsonb), :background, :owner) returning id
            """),
            {
                "run_id": run_id,
                "stage": stage,
                "nights": json.dumps(nights if nights is None else list(nights)),
                "background": background,
                "owner": worker_name(),
            },
        )
    over, stop = threading.Event(), threading.Event()

    def beat() -> None:
        while not over.wait(_HEARTBEAT_S):
            try:
                with site.engine.begin() as connection:
                    if connection.scalar(_BEAT, {"id": drain_id, "together": list(together)}):
                        stop.set()
            except DBAPIError:
                continue

    thread = threading.Thread(target=beat, name="run-heartbeat", daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        over.set()
        thread.join()
        with site.engine.begin() as connection:
            connection.execute(text("update drain set ended_at = now() where id = :id"), {"id": drain_id})
            connection.execute(text("delete from drain where heartbeat < now() - interval '1 day'"))
