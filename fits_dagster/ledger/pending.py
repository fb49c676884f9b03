"""What there is to do: questions that sensors, runs and pages ask of the queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from fits_dagster.sites import Site

__all__ = ["DueWork", "QueueDepth", "due_work", "has_work_in_hand", "next_due_s", "queue_depths"]

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


@dataclass(frozen=True)
class DueWork:
    """What is due in one stage's queue for one night."""

    stage: str
    night: str
    count: int
    #: Seconds for which the first of it has been due.
    waited_s: float = 0.0


def due_work(
    connection: Connection, stages: Sequence[str], *, settled_s: float = 0.0, background: bool = False
) -> Sequence[DueWork]:
    """Return what is due in some stages by night, the newest first.

    Parameters
    ----------
    settled_s
        Leave out items added less than this many seconds ago (the run that added them is about to take
        them).
    background
        Look at work of low priority instead of all other work.
    """
    rows = connection.execute(
        text("""
        select stage, night, count(*),
               extract(epoch from now() - min(greatest(added_at, not_before)))::float
        from work_item
        where state = 'waiting' and stage = any(:stages) and not_before <= now()
          and stage not in (select stage from pause)
          and added_at <= now() - make_interval(secs => :settled) and (priority < 0) = :background
        group by stage, night order by max(priority) desc, night desc, stage
        """),
        {"stages": list(stages), "settled": settled_s, "background": background},
    )
    return [DueWork(*row) for row in rows]


def next_due_s(site: Site, stage: str, nights: Sequence[str] | None, background: bool | None) -> float | None:
    """Return in how many seconds the next waiting item of a stage is due; None if there is none.

    Parameters
    ----------
    nights, background
        As of :func:`has_work_in_hand`.
    """
    with site.engine.connect() as connection:
        seconds = connection.scalar(
            text("""
            select extract(epoch from min(not_before) - now()) from work_item
            where state = 'waiting' and stage = :stage and not exists (select from pause where stage = :stage)
              and (cast(:nights as text[]) is null or night = any(cast(:nights as text[])))
              and (cast(:background as boolean) is null or (priority < 0) = cast(:background as boolean))
            """),
            {
                "stage": stage,
                "nights": list(nights) if nights is not None else None,
                "background": background,
            },
        )
    return None if seconds is None else float(seconds)


def has_work_in_hand(
    connection: Connection,
    nights: Sequence[str] | None,
    *,
    stages: Sequence[str] | None = None,
    background: bool | None = None,
) -> bool:
    """Tell whether anything of these nights is being worked on, or is due now or within moments.

    Parameters
    ----------
    stages
        Stages to look at; None for all.
    background
        Keep to work of low priority (true) or to all other work (false); None for both.
    """
    return bool(
        connection.scalar(
            text("""
            select exists (select 1 from work_item
                where (cast(:nights as text[]) is null or night = any(cast(:nights as text[])))
                  and (cast(:stages as text[]) is null or stage = any(cast(:stages as text[])))
                  and (cast(:background as boolean) is null
                       or (priority < 0) = cast(:background as boolean))
                  and (state = 'running'
                       or (state = 'waiting' and not_before <= now() + make_interval(secs => :soon)
                           and stage not in (select stage from pause))))
            """),
            {
                "nights": list(nights) if nights is not None else None,
                "stages": list(stages) if stages is not None else None,
                "soon": _SOON_S,
                "background": background,
            },
        )
    )
