"""Queueing files for ingest by hand: by listing, by name, from a list, or from the database."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.nights import FileKey
from fits_dagster.records.selected import current_files_query
from fits_dagster.records.selection import select_files
from fits_dagster.records.tables import diskfile
from fits_dagster.requeue.chosen_names import name_matcher
from fits_dagster.requeue.rescan import RescanReport, is_ingestible, rescan
from fits_dagster.sites import Site
from fits_dagster.stages import ingest

__all__ = ["IngestRequest", "RequeueReport", "queue_for_ingest"]

log = logging.getLogger(__name__)

_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class IngestRequest:
    """Which files, and how. The first that is given counts: filename, listed, selection, else a listing."""

    path: str = ""
    file_re: str | None = None
    newer_than_days: float | None = None
    filename: str | None = None
    #: Keys, ``path/filename``; a bare name belongs to ``path``.
    listed: Sequence[str] | None = None
    #: Terms of the selection grammar of URLs, separated by slashes.
    selection: str | None = None
    force: bool = False
    force_md5: bool = False
    after: datetime | None = None


@dataclass
class RequeueReport:
    """What was done."""

    looked_at: int = 0
    queued: list[str] = field(default_factory=list)
    #: Keys that were asked for by name and that the store does not have.
    missing: list[str] = field(default_factory=list)


def queue_for_ingest(site: Site, request: IngestRequest, *, dry_run: bool = False) -> RequeueReport:
    """Queue files of the store for ingest.

    From a listing, only what is new or has changed is queued, unless it is forced. Files that are named are
    queued as they are, if the store has them.

    Raises
    ------
    ValueError
        The regular expression cannot be read, or something in the selection is not understood.
    OSError
        The store cannot be listed.
    """
    report = RequeueReport()
    keys = _named_keys(site, request)
    if keys is None:
        found = _rescan(site, request, dry_run=dry_run)
        report.looked_at = found.seen
        report.queued = [str(FileKey(request.path, name)) for name in found.names]
    else:
        for key in keys:
            report.looked_at += 1
            if is_ingestible(key.rpartition("/")[2]):
                (report.queued if site.store.stat(key) is not None else report.missing).append(key)
        if not dry_run:
            _queue(site, request, report.queued)
    log.info("%d files looked at, %d queued for ingest", report.looked_at, len(report.queued))
    return report


def _named_keys(site: Site, request: IngestRequest) -> list[str] | None:
    """Return the keys that were asked for by name; None when the store is to be listed."""

    def key(name: str) -> str:
        return f"{request.path}/{name}" if request.path and "/" not in name else name

    if request.filename is not None:
        return [key(request.filename)]
    if request.listed is not None:
        return [key(name) for name in request.listed]
    if request.selection is not None:
        elements = [each for each in request.selection.split("/") if each]
        chosen = select_files(elements, site.settings)
        if chosen.not_recognised:
            raise ValueError(f"not understood in the selection: {', '.join(chosen.not_recognised)}")
        query = current_files_query().where(chosen.where, diskfile.c.canonical)
        with site.engine.connect() as connection:
            return [str(FileKey(path, name)) for path, name in connection.execute(query)]
    return None


def _rescan(site: Site, request: IngestRequest, *, dry_run: bool) -> RescanReport:
    oldest = None
    if request.newer_than_days is not None:
        oldest = datetime.now(UTC) - timedelta(days=request.newer_than_days)
    return rescan(
        site,
        request.path,
        matches=name_matcher(request.file_re) if request.file_re else None,
        force=request.force,
        force_md5=request.force_md5,
        newer_than=oldest,
        delay=_delay(request),
        dry_run=dry_run,
    )


def _delay(request: IngestRequest) -> float:
    if request.after is None:
        return 0.0
    return max(0.0, (request.after - datetime.now(UTC)).total_seconds())


def _queue(site: Site, request: IngestRequest, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), _BATCH):
        with site.engine.begin() as connection:
            add_work(
                connection,
                (
                    NewWork(
                        stage=ingest.STAGE.name,
                        path=key.rpartition("/")[0],
                        filename=key.rpartition("/")[2],
                        force=request.force,
                        force_md5=request.force_md5,
                        delay=_delay(request),
                    )
                    for key in keys[start : start + _BATCH]
                ),
            )
