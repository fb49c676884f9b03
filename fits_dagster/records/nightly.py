"""What a site's database knows of a night: which nights have data, their files, and how far each has come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

from sqlalchemy import ColumnElement, Connection, func

from fits_dagster.fits.names import trimmed
from fits_dagster.nights import Night
from fits_dagster.records.queries import QUERIES
from fits_dagster.records.selected import headers_query
from fits_dagster.records.selection import select_files
from fits_dagster.records.tables import diskfile, header
from fits_dagster.settings import SiteSettings

__all__ = [
    "FileProgress",
    "NightKind",
    "Step",
    "count_steps",
    "current_of_night",
    "kinds_of_night",
    "nights_with_data",
    "progress_of_night",
    "progress_since",
]


@dataclass(frozen=True)
class Step:
    """How far a file is with a stage: the last that happened there, or the work that waits."""

    #: ``done``, ``running``, ``waiting`` or ``failed``.
    state: str
    #: When it was done, or came to the queue.
    at: datetime
    #: Of what was done, or the reason of what was not.
    outcome: str
    #: Seconds that the work took.
    seconds: float | None = None
    #: Of the queue, if it is on one.
    item_id: int | None = None
    error: str = ""


@dataclass
class FileProgress:
    """How far a file has come, by stage."""

    name: str
    #: When it came to the site: the time of the DHS file, or the end of the upload.
    came_at: datetime | None = None
    steps: dict[str, Step] = field(default_factory=dict)


@dataclass(frozen=True)
class NightKind:
    """Files of a night of one instrument and type."""

    instrument: str
    observation_type: str
    files: int


def nights_with_data(
    connection: Connection, site: SiteSettings, *, before: Night, limit: int
) -> list[tuple[Night, int]]:
    """Return nights that have data, the newest first, with their numbers of current files.

    Parameters
    ----------
    before
        The first night that is not told any more.
    limit
        Most nights.
    """
    bound = datetime.combine(before.day, time(), UTC)
    days = connection.scalars(QUERIES["days_with_data"], {"before": bound, "limit": limit}).all()
    # in the South the label of the night runs ahead of the date
    labels = {night for day in days for night in (Night(day), Night(day).next) if night < before}
    found = []
    for night in sorted(labels, reverse=True):
        query = headers_query(func.count()).where(current_of_night(site, night))
        if files := connection.scalar(query):
            found.append((night, int(files)))
    return found[:limit]


def current_of_night(site: SiteSettings, night: Night) -> ColumnElement[bool]:
    """Return the condition of the current versions of the frames of a night."""
    return diskfile.c.canonical & select_files([f"night={night}"], site).where


def kinds_of_night(connection: Connection, site: SiteSettings, night: Night) -> list[NightKind]:
    """Count the current files of a night by instrument and type, the most frequent first."""
    columns, number = (header.c.instrument, header.c.observation_type), func.count().label("files")
    query = headers_query(*columns, number).where(current_of_night(site, night)).group_by(*columns)
    rows = connection.execute(query.order_by(number.desc(), *columns))
    return [NightKind(row.instrument or "", row.observation_type or "", row.files) for row in rows]


def progress_of_night(
    connection: Connection, night: Night, names: Collection[str] = ()
) -> Mapping[str, FileProgress]:
    """Tell how far files have come: those with work in the queues of a night, and others by their names.

    Parameters
    ----------
    names
        Trimmed names.
    """
    items = connection.execute(QUERIES["items_of_night"], {"night": str(night)}).all()
    found = {name: FileProgress(name) for name in (*names, *(trimmed(row.filename) for row in items))}
    asked = {"names": _both(found)}
    for row in connection.execute(QUERIES["last_events"], asked):
        state = "failed" if row.outcome in ("failed", "retrying") else "done"
        step = Step(state, row.at, row.outcome, row.seconds, error=row.detail if state == "failed" else "")
        found[row.name].steps[row.stage] = step
    for row in items:
        steps = found[trimmed(row.filename)].steps
        # of several destinations the worst counts
        before = steps.get(row.stage)
        if before is None or before.item_id is None or row.state == "failed":
            steps[row.stage] = Step(
                row.state, row.at, row.reason or "", item_id=row.id, error=row.error or ""
            )
    for name, at in connection.execute(QUERIES["arrivals_of"], asked):
        found[name].came_at = at
    return found


def count_steps(progress: Mapping[str, FileProgress], stages: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count files by stage and state."""
    counts: dict[str, dict[str, int]] = {stage: defaultdict(int) for stage in stages}
    for each in progress.values():
        for stage, step in each.steps.items():
            if stage in counts:
                counts[stage][step.state] += 1
    return {stage: dict(states) for stage, states in counts.items()}


def progress_since(
    connection: Connection, night: Night, since: datetime, *, limit: int
) -> list[tuple[int, datetime, str]]:
    """Return what happened to the files of a night since a time: row, time and trimmed name, in order."""
    values = {"since": since, "night": str(night), "limit": limit}
    return [
        (row.id, row.at, trimmed(row.filename))
        for row in connection.execute(QUERIES["progress_since"], values)
    ]


def _both(names: Collection[str]) -> list[str]:
    return [form for name in names for form in (name, f"{name}.bz2")]
