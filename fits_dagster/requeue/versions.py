"""Queueing files that the database knows for a stage behind ingest, by hand or for a backfill."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, null

from fits_dagster.fits.names import trimmed
from fits_dagster.ledger.items import BACKGROUND, NewWork, add_work
from fits_dagster.ledger.stage import Stage, Subject
from fits_dagster.nights import FileKey, night_label
from fits_dagster.records.selected import current_files_query
from fits_dagster.records.selection import select_files
from fits_dagster.records.tables import diskfile, file, header
from fits_dagster.requeue.chosen_names import name_matcher
from fits_dagster.sites import Site
from fits_dagster.stages.registry import find_stage

__all__ = ["VersionRequest", "queue_versions"]

log = logging.getLogger(__name__)

_BATCH: Final = 1000
_KNOWN: Final = frozenset({Subject.FILE, Subject.VERSION, Subject.HEADER})


@dataclass(frozen=True, kw_only=True)
class VersionRequest:
    """Which versions of files; all criteria that are given must hold."""

    #: Regular expression searched in the names, or a word for some days.
    file_re: str | None = None
    #: Night labels.
    nights: Sequence[str] | None = None
    #: Directory in the store; None for all of them.
    path: str | None = None
    #: Names, or keys ``path/filename``, with or without ``.bz2``.
    names: Sequence[str] | None = None
    #: Terms of the selection grammar of URLs, separated by slashes.
    selection: str | None = None
    instrument: str | None = None
    #: Observed in the last so many days.
    last_days: float | None = None
    include_engineering: bool = True
    #: Also those whose metadata are not fit for searches.
    include_unready: bool = True
    #: Base URLs; none: all of the stage.
    destinations: Sequence[str] = ()
    #: Only those of which the stage has not made anything yet.
    only_missing: bool = False
    after: datetime | None = None
    background: bool = False


def queue_versions(site: Site, name: str, request: VersionRequest, *, dry_run: bool = False) -> list[str]:
    """Queue files that the database knows for a stage: those that its :class:`Subject` says.

    Returns
    -------
    list of str
        Keys of the files that were queued, or would be.

    Raises
    ------
    ValueError
        This site has no such stage, it has no destination, a term of the selection is not understood, or
        the regular expression cannot be read.
    """
    stage = find_stage(site.settings, name)
    if stage is None:
        raise ValueError(f"the {site.name} has no stage {name}")
    if stage.subject not in _KNOWN:
        raise ValueError(f"{name} is not made from files that the database knows")
    if request.only_missing and stage.is_made is None:
        raise ValueError(f"{name} cannot tell which files it has not made anything of")
    if request.destinations and stage.is_local:
        raise ValueError(f"{name} sends nothing to a destination")
    destinations = request.destinations or stage.destinations(site.settings)
    if not destinations:
        raise ValueError("there is no destination: the settings name none")
    keys: list[str] = []
    with site.engine.connect() as connection:
        chosen = list(_versions(connection, site, stage, request))
    keys = [str(FileKey(path, filename)) for path, filename, _ in chosen]
    if not dry_run:
        _add(site, stage, request, chosen, destinations)
    log.info("%d files queued for %s", 0 if dry_run else len(keys), name)
    return keys


_Version: TypeAlias = tuple[str, str, int | None]


def _versions(
    connection: Connection, site: Site, stage: Stage[Any], request: VersionRequest
) -> Iterator[_Version]:
    """Yield path, file name and subject of the versions that were asked for."""
    ids = {Subject.FILE: null(), Subject.VERSION: diskfile.c.id, Subject.HEADER: header.c.id}
    subject = ids[stage.subject or Subject.VERSION]
    present = diskfile.c.present if stage.subject is Subject.FILE else diskfile.c.canonical
    query = current_files_query(subject).where(present).order_by(diskfile.c.filename)
    if stage.needs_header or stage.subject is Subject.HEADER:
        query = query.where(header.c.id.is_not(None))
    if request.selection is not None:
        elements = [each for each in request.selection.split("/") if each]
        selected = select_files(elements, site.settings)
        if selected.not_recognised:
            raise ValueError(f"not understood in the selection: {', '.join(selected.not_recognised)}")
        query = query.where(selected.where)
    if request.path is not None:
        query = query.where(diskfile.c.path == request.path)
    if request.instrument is not None:
        query = query.where(header.c.instrument == request.instrument)
    if request.last_days is not None:
        query = query.where(header.c.ut_datetime >= datetime.now(UTC) - timedelta(days=request.last_days))
    if not request.include_engineering:
        query = query.where(header.c.engineering.is_not(True))
    if not request.include_unready:
        query = query.where(diskfile.c.mdready)
    if request.only_missing and stage.is_made is not None:
        query = query.where(~stage.is_made)
    if request.names is not None:
        plain = [trimmed(name.rpartition("/")[2]) for name in request.names]
        query = query.where(file.c.name.in_(plain))
    paths = {trimmed(name) for name in request.names or () if "/" in name}
    bare = {trimmed(name) for name in request.names or () if "/" not in name}
    matches = name_matcher(request.file_re) if request.file_re else None
    nights = None if request.nights is None else frozenset(request.nights)
    for path, filename, found in connection.execution_options(yield_per=_BATCH).execute(query):
        name = trimmed(filename)
        asked = request.names is None or name in bare or f"{path}/{name}" in paths
        if nights is not None and night_label(filename) not in nights:
            continue
        if asked and (matches is None or matches(filename)):
            yield path, filename, found


def _add(
    site: Site,
    stage: Stage[Any],
    request: VersionRequest,
    versions: Sequence[_Version],
    destinations: Sequence[str],
) -> None:
    delay = 0.0
    if request.after is not None:
        delay = max(0.0, (request.after - datetime.now(UTC)).total_seconds())
    work = (
        NewWork(
            stage=stage.name,
            path=path,
            filename=filename,
            destination=destination,
            subject_id=subject,
            delay=delay,
            priority=BACKGROUND if request.background else 0,
        )
        for path, filename, subject in versions
        for destination in destinations
    )
    while batch := list(islice(work, _BATCH)):
        with site.engine.begin() as connection:
            add_work(connection, batch)
