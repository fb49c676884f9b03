"""What there is to do: questions that sensors, runs and pages ask of the queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from fits_dagster.ledger.queries import QUERIES
from fits_dagster.ledger.scope import EVERYTHING, Scope
from fits_dagster.sites import Site

__all__ = [
    "Backlog",
    "DueWork",
    "QueueDepth",
    "backlogs",
    "due_work",
    "has_work_in_hand",
    "next_due_s",
    "queue_depths",
]

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
    rows = connection.execute(QUERIES["queue_depths"]).mappings()
    return {row["stage"]: QueueDepth(**row) for row in rows}


@dataclass(frozen=True)
class Backlog:
    """Much to do for one stage: a backfill, or what a long outage has left."""

    stage: str
    #: Files that wait or are in hand, and of how many nights.
    left: int
    nights: int
    #: Label of the oldest of them.
    oldest: str
    #: Files a second of late.
    per_s: float

    @property
    def seconds(self) -> float | None:
        """When it will be done at this rate, seconds from now; None when nothing was done of late."""
        return self.left / self.per_s if self.per_s > 0 else None

    def __str__(self) -> str:
        """Say what is left, at which rate it shrinks, and when it will be done."""
        line = f"{self.stage} {self.left} left of {self.nights} nights"
        if self.seconds is None:
            return f"{line}, none done in the last minutes"
        end = datetime.now(UTC) + timedelta(seconds=self.seconds)
        return f"{line}, {60 * self.per_s:.0f} a minute, done at about {end:%Y-%m-%d %H:%M} UTC"


def backlogs(connection: Connection, *, least: int = 200, seconds: float = 300.0) -> Sequence[Backlog]:
    """Return what there is much to do of, the longest first.

    Parameters
    ----------
    least
        Fewer files are no backlog.
    seconds
        The rate is that of the last so many.
    """
    rows = connection.execute(QUERIES["backlogs"], {"least": least, "seconds": seconds})
    return [Backlog(*row) for row in rows]


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
        QUERIES["due_work"],
        {"stages": list(stages), "settled": settled_s, "background": background},
    )
    return [DueWork(*row) for row in rows]


def next_due_s(site: Site, stage: str, scope: Scope) -> float | None:
    """Return in how many seconds the next waiting item of a stage is due; None if there is none."""
    with site.engine.connect() as connection:
        seconds = connection.scalar(QUERIES["next_due_s"], {"stage": stage, **scope.values()})
    return None if seconds is None else float(seconds)


def has_work_in_hand(
    connection: Connection, scope: Scope = EVERYTHING, *, stages: Sequence[str] | None = None
) -> bool:
    """Tell whether anything is being worked on, or is due now or within moments.

    Parameters
    ----------
    stages
        Stages to look at; None for all.
    """
    values = {
        "stages": list(stages) if stages is not None else None,
        "soon": _SOON_S,
        **scope.values(),
    }
    return bool(connection.scalar(QUERIES["has_work_in_hand"], values))
