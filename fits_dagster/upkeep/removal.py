"""Removal of files from the dataflow directory: only what every destination holds with the same content."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row

from fits_dagster.destinations.base import Holding, open_destination
from fits_dagster.fits.names import trimmed
from fits_dagster.ledger.management import write_audit
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.nights import FileKey
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.requeue.chosen_names import name_matcher
from fits_dagster.sites import Site
from fits_dagster.storage import UnsafeNameError
from fits_dagster.storage.landing import md5_of

__all__ = ["RemovalReport", "RemovalRequest", "remove_files"]

log = logging.getLogger(__name__)

_BATCH: Final = 200
_GB: Final = 1024**3


@dataclass(frozen=True, kw_only=True)
class RemovalRequest:
    """Which files, and how many."""

    path: str | None = None
    #: Regular expression searched in the names.
    file_re: str | None = None
    #: Only files that were last changed so many days ago.
    older_than_days: float = 0.0
    most_files: int | None = None
    most_gb: float | None = None
    #: Until no more than so many files are present, and at least so much space is free; both must be met.
    target_files: int | None = None
    target_free_gb: float | None = None
    #: Read each file and compare its bytes with what was ingested.
    check_md5: bool = True


@dataclass
class RemovalReport:
    """What was removed, or would be."""

    #: Keys, oldest first.
    removed: list[str] = field(default_factory=list)
    bytes: int = 0
    #: Files that were passed over, by reason.
    kept: dict[str, list[str]] = field(default_factory=dict)


def remove_files(
    site: Site,
    request: RemovalRequest,
    *,
    who: str,
    dry_run: bool = True,
    on_file: Callable[[str], object] = lambda _: None,
) -> RemovalReport:
    """Remove the oldest files, each only when it is safe to.

    A file is removed if it is the current and present version, is on no queue, its bytes are those that were
    ingested, and every destination of the settings has a present version with the same content. Its row
    stays, as current and not present. A copy on the DHS is not copied again while it does not change.

    Parameters
    ----------
    who
        Who asks for it, for the audit.
    dry_run
        Only tell.
    on_file
        Told the key of each file that is removed.

    Raises
    ------
    ValueError
        The settings name no destination, or the store is no directory: there would be no second copy.
    fits_dagster.destinations.base.DestinationDownError
        A destination does not say what it has; nothing more is removed.
    """
    if not site.settings.export_destinations or site.settings.store != "directory":
        raise ValueError(f"the {site.name} sends its files nowhere: nothing can be removed")
    report = RemovalReport()
    before = datetime.now(UTC) - timedelta(days=request.older_than_days)
    matches = name_matcher(request.file_re) if request.file_re else None
    with site.engine.connect() as connection:
        candidates = [
            row
            for row in connection.execute(RECORDS["old_versions"], {"path": request.path, "before": before})
            if matches is None or matches(row.filename)
        ]
        present = int(connection.scalar(RECORDS["count_present"]) or 0)
    for start in range(0, len(candidates), _BATCH):
        batch = candidates[start : start + _BATCH]
        safe = _held_elsewhere(site, batch)
        for row in batch:
            if _is_enough(site, request, report, present, dry_run=dry_run):
                return report
            key = str(FileKey(row.path, row.filename))
            reason = safe[row.id] or _unsafe_here(site, key, row, check_md5=request.check_md5)
            if reason is None and not dry_run:
                reason = _remove(site, key, row, who)
            if reason is None:
                report.removed.append(key)
                report.bytes += row.file_size
                on_file(key)
            else:
                report.kept.setdefault(reason, []).append(key)
    return report


def _is_enough(
    site: Site, request: RemovalRequest, report: RemovalReport, present: int, *, dry_run: bool
) -> bool:
    """Tell whether the request is met."""
    if request.most_files is not None and len(report.removed) >= request.most_files:
        return True
    if request.most_gb is not None and report.bytes >= request.most_gb * _GB:
        return True
    if request.target_files is None and request.target_free_gb is None:
        return False
    few = request.target_files is None or present - len(report.removed) <= request.target_files
    assert site.settings.store_directory is not None
    free = shutil.disk_usage(site.settings.store_directory).free + (report.bytes if dry_run else 0)
    roomy = request.target_free_gb is None or free >= request.target_free_gb * _GB
    return few and roomy


def _names(filename: str) -> list[str]:
    return [trimmed(filename), f"{trimmed(filename)}.bz2"]


def _held_elsewhere(site: Site, rows: Sequence[Row[Any]]) -> Mapping[int, str | None]:
    """Return by row why it must be kept; None where nothing is on a queue and every destination has it."""
    names = {row.id: trimmed(row.filename) for row in rows}
    with site.engine.connect() as connection:
        everything = [each for row in rows for each in _names(row.filename)]
        busy = {trimmed(name) for name in connection.scalars(LEDGER["queued_names"], {"names": everything})}
    there = {
        url: open_destination(url, site.settings).holdings(names.values())
        for url in site.settings.export_destinations
    }

    def reason(row: Row[Any]) -> str | None:
        name = names[row.id]
        if name in busy:
            return "on a queue"
        for url, held in there.items():
            versions: Sequence[Holding] = held.get(name, ())
            if row.data_md5 not in {version.data_md5 for version in versions}:
                return f"{url} has {'another content' if versions else 'no version'}"
        return None

    return {row.id: reason(row) for row in rows}


def _unsafe_here(site: Site, key: str, row: Row[Any], *, check_md5: bool) -> str | None:
    try:
        info = site.store.stat(key)
    except (UnsafeNameError, OSError) as error:
        return f"it cannot be looked at: {error}"
    if info is None:
        return "not in the store"
    if info.size != row.file_size or info.modified != row.lastmod:
        return "changed since it was ingested"
    if check_md5:
        with site.store.local(key) as path:
            if md5_of(path) != row.file_md5:
                return "its bytes are not those that were ingested"
    return None


def _remove(site: Site, key: str, row: Row[Any], who: str) -> str | None:
    """Remove one file; returns why not, if it may no longer be."""
    with site.engine.begin() as connection:
        if connection.scalar(RECORDS["lock_version"], {"id": row.id}) is None:
            return "superseded meanwhile"
        if connection.scalar(LEDGER["queued_names"], {"names": _names(row.filename)}):
            return "on a queue"
        # were the row changed first and the file left by a crash, a rescan would take it for a new one
        site.store.delete(key)
        connection.execute(RECORDS["mark_absent"], {"id": row.id})
        write_audit(connection, who, "remove", f"{key}: {row.file_size} bytes, md5 {row.data_md5}")
    log.info("removed %s", key, extra={"action": "removed", "frame": key})
    return None
