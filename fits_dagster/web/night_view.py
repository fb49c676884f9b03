"""A night as it is shown: its files, how far each has come, what is expected, what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fastapi import HTTPException, Request
from sqlalchemy import ColumnElement, Connection, Row

from fits_dagster.fits.names import trimmed
from fits_dagster.intake.dhs import dhs_entries
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.ledger.stage import Stage
from fits_dagster.monitoring.disks import disks_of, site_directories
from fits_dagster.nights import Night, night_label
from fits_dagster.records.files import has_preview
from fits_dagster.records.nightly import (
    FileProgress,
    NightKind,
    count_steps,
    current_of_night,
    kinds_of_night,
    progress_of_night,
)
from fits_dagster.records.tables import diskfile, header
from fits_dagster.sites import Site
from fits_dagster.stages.registry import stages_of
from fits_dagster.storage.mounts import DiskFigures
from fits_dagster.web.access import current_person, site_of
from fits_dagster.web.versions import versions_query
from fits_dagster.web.visibility import Viewer, viewer_of

__all__ = ["NightFile", "NightView", "look_at_night", "read_night"]

#: Files that a page shows, the latest.
_SHOWN: Final = 500
#: Nights that somebody may ask for.
_FIRST_YEAR, _LAST_YEAR = 1990, 2100


@dataclass(frozen=True)
class NightFile:
    """A file of a night."""

    name: str
    progress: FileProgress
    #: Its current version; None for one that has not arrived, or of which nobody but staff knows.
    row: Row[Any] | None = None
    sees_file: bool = False
    sees_position: bool = False
    has_preview: bool = False
    #: The DHS directory has it, and nothing else knows of it.
    is_only_expected: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether somebody has to do something."""
        return any(step.state == "failed" and step.item_id for step in self.progress.steps.values())


@dataclass(frozen=True)
class NightView:
    """What is shown of a night."""

    night: Night
    begins: datetime
    ends: datetime
    is_tonight: bool
    #: The latest first; those on their way before those that have arrived.
    entries: Sequence[NightFile]
    #: Current files of the night, whether they are shown or not.
    files: int
    kinds: Sequence[NightKind]
    #: Whether the files, the stages and what is wrong are told to this viewer.
    is_for_staff: bool
    #: Stages that a file of the night may meet.
    stages: Sequence[Stage[Any]] = ()
    stage_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    expected: int = 0
    #: All of the night that are known here, whether they are asked for or not.
    known: Sequence[NightFile] = ()
    alerts: Sequence[Row[Any]] = ()
    destinations: Sequence[Row[Any]] = ()
    disks: Mapping[str, DiskFigures | None] = field(default_factory=dict)

    @property
    def is_cut(self) -> bool:
        """Whether there are more files than are shown."""
        return sum(entry.row is not None for entry in self.known) < self.files

    @property
    def failed(self) -> Sequence[NightFile]:
        """Files for which somebody has to do something."""
        return [entry for entry in self.known if entry.has_failed]

    @property
    def on_their_way(self) -> int:
        """Number of files that have no version yet."""
        return self.expected - self.files


def read_night(label: str) -> Night:
    """Read the label of a night in an address.

    Raises
    ------
    fastapi.HTTPException
        404; it is none.
    """
    try:
        night = Night.parse(label)
        if not _FIRST_YEAR <= night.day.year <= _LAST_YEAR:
            raise ValueError
    except ValueError as error:
        raise HTTPException(404, f"{label[:40]!r} is no night; a label is YYYYMMDD") from error
    return night


def look_at_night(request: Request, night: Night, names: Collection[str] | None = None) -> NightView:
    """Look at a night as far as a visitor may: without a role there are no stages, and nothing is wrong.

    Parameters
    ----------
    names
        The only files to show, by trimmed name; figures are of the whole night all the same.
    """
    site, viewer, person = site_of(request), viewer_of(request), current_person(request)
    clock = site.settings.night_clock
    begins, ends = clock.bounds(night)
    of_night = current_of_night(site.settings, night)
    is_for_staff = person is not None and person.may("reader")
    with site.engine.connect() as connection:
        rows = _rows(connection, of_night)
        kinds = kinds_of_night(connection, site.settings, night)
        known = progress_of_night(connection, night, [row.name for row in rows]) if is_for_staff else {}
        troubles = _what_is_wrong(connection, site) if is_for_staff else {}
    arrived = [_arrived(row, known, viewer) for row in rows]
    total = sum(each.files for each in kinds)
    there = {entry.name for entry in arrived}
    coming: list[NightFile] = []
    if is_for_staff:
        coming = [NightFile(name, each) for name, each in known.items() if name not in there]
        # what is not shown for want of room is no news
        outside = _expected_only(site, night, known) if total <= len(rows) else []
        coming += [NightFile(name, FileProgress(name), is_only_expected=True) for name in outside]
    expected = total + len(coming)
    coming.sort(key=lambda entry: entry.name, reverse=True)
    stages = _stages(site, known) if is_for_staff else []
    return NightView(
        night,
        begins,
        ends,
        night == clock.tonight(),
        [entry for entry in (*coming, *arrived) if names is None or entry.name in names],
        total,
        kinds,
        is_for_staff,
        stages,
        count_steps(known, [stage.name for stage in stages]),
        expected,
        [*coming, *arrived],
        **troubles,
    )


def _rows(connection: Connection, of_night: ColumnElement[bool]) -> Sequence[Row[Any]]:
    query = versions_query().add_columns(has_preview().label("has_preview")).where(of_night)
    latest = query.order_by(header.c.ut_datetime.desc(), diskfile.c.id.desc()).limit(_SHOWN)
    return connection.execute(latest).all()


def _arrived(row: Row[Any], known: Mapping[str, FileProgress], viewer: Viewer) -> NightFile:
    progress = known.get(row.name) or FileProgress(row.name)
    return NightFile(
        row.name, progress, row, viewer.sees_file(row), viewer.sees_position(row), row.has_preview
    )


def _expected_only(site: Site, night: Night, known: Collection[str]) -> list[str]:
    """Return files that the DHS directory has and nobody has begun to copy."""
    try:
        entries = dhs_entries(site)
    except OSError:
        return []
    names = {trimmed(entry.name) for entry in entries if night_label(entry.name) == str(night)}
    return sorted(names - set(known))


def _stages(site: Site, known: Mapping[str, FileProgress]) -> list[Stage[Any]]:
    met = {stage for each in known.values() for stage in each.steps}
    return [stage for stage in stages_of(site.settings) if stage.name in met or stage.is_on_the_way(site)]


def _what_is_wrong(connection: Connection, site: Site) -> dict[str, Any]:
    urls = list(site.settings.export_destinations)
    return {
        "alerts": connection.execute(LEDGER["current_alerts"]).all(),
        "destinations": connection.execute(LEDGER["links"], {"urls": urls}).all(),
        "disks": disks_of(site_directories(site.settings)),
    }
