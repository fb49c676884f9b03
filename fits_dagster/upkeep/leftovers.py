"""Leftovers of what died: temporary files, uploads without a row, unfinished puts; and unknown objects."""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.nights import FileKey
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.requeue.rescan import is_ingestible
from fits_dagster.sites import Site
from fits_dagster.storage import DirectoryStore, S3Store
from fits_dagster.storage.landing import TEMPORARY_MARK

__all__ = ["LeftoverReport", "find_orphans", "sweep_leftovers"]

log = logging.getLogger(__name__)

#: Who still writes a temporary file changes it more often than this, seconds.
_ABANDONED_S: Final = 3600.0
#: An upload whose receiver died before it could acknowledge it is sent again; its file is kept so long.
_UNKNOWN_UPLOAD_S: Final = 86400.0
#: Uploads in parts to S3 that take longer are none.
_UNFINISHED_PUT: Final = timedelta(days=2)
#: A file younger than this may be on its way into the database.
_YOUNG_S: Final = 3600.0
_BATCH: Final = 1000


@dataclass
class LeftoverReport:
    """What was removed, or would be."""

    #: Temporary files and directories.
    temporary: list[str] = field(default_factory=list)
    #: Staged uploads that have no row.
    uploads: list[str] = field(default_factory=list)
    #: Keys of uploads in parts to S3 that never ended.
    unfinished: list[str] = field(default_factory=list)
    bytes: int = 0


def sweep_leftovers(
    site: Site, *, dry_run: bool = False, with_bucket: bool = True, now: float | None = None
) -> LeftoverReport:
    """Remove what processes that died have left behind; what somebody may still write is left alone.

    Parameters
    ----------
    with_bucket
        Look into the bucket of an S3 store as well.
    now
        Time by which ages are counted, seconds since 1970; default: now.
    """
    report, at = LeftoverReport(), time.time() if now is None else now
    for path, size in _abandoned(site, at):
        report.temporary.append(str(path))
        report.bytes += size
        if not dry_run:
            _remove(path)
    for path, size in _unknown_uploads(site, at):
        report.uploads.append(str(path))
        report.bytes += size
        if not dry_run:
            _remove(path)
    if isinstance(site.store, S3Store) and not dry_run:
        site.store.kept.sweep(at)
    if with_bucket and isinstance(site.store, S3Store):
        before = datetime.fromtimestamp(at, UTC) - _UNFINISHED_PUT
        report.unfinished = site.store.end_unfinished(before, dry_run=dry_run)
    for name in (*report.temporary, *report.uploads, *report.unfinished):
        log.warning("left over by a process that died: %s", name)
    return report


def find_orphans(site: Site, *, now: float | None = None) -> list[str]:
    """Return the keys of stored data that no row knows, in the paths that the database knows.

    Nothing is removed: who put them there may want them ingested (`add-to-ingest-queue`).
    """
    oldest = datetime.fromtimestamp((time.time() if now is None else now) - _YOUNG_S, UTC)
    with site.engine.connect() as connection:
        paths = sorted({"", *connection.scalars(RECORDS["known_paths"])})
    orphans: list[str] = []
    for path in paths:
        batch: list[str] = []
        for info in site.store.objects(path):
            name = info.key.rpartition("/")[2]
            if is_ingestible(name) and info.modified < oldest:
                batch.append(name)
            if len(batch) >= _BATCH:
                orphans += _unknown(site, path, batch)
                batch = []
        orphans += _unknown(site, path, batch)
    return orphans


def _unknown(site: Site, path: str, names: Sequence[str]) -> list[str]:
    with site.engine.connect() as connection:
        known = set(connection.scalars(RECORDS["known_names"], {"path": path, "names": list(names)}))
    return [str(FileKey(path, name)) for name in sorted(set(names) - known)]


def _abandoned(site: Site, now: float) -> Iterator[tuple[Path, int]]:
    """Find temporary files and directories that nobody has changed for a while."""
    places: list[Path] = []
    if isinstance(site.store, DirectoryStore):
        with site.engine.connect() as connection:
            paths = {"", site.settings.preview_path, *connection.scalars(RECORDS["known_paths"])}
        places += [site.store.root / path for path in sorted(paths)]
    if site.settings.staging_directory is not None:
        places += [site.settings.staging_directory / name for name in ("uploads", "fetched")]
    for place in places:
        for entry in _entries(place):
            if TEMPORARY_MARK in entry.name:
                size, changed = _extent(Path(entry.path))
                if now - changed > _ABANDONED_S:
                    yield Path(entry.path), size


def _unknown_uploads(site: Site, now: float) -> Iterator[tuple[Path, int]]:
    """Find staged uploads that were never acknowledged: they have no row."""
    if site.settings.staging_directory is None:
        return
    found = {}
    for entry in _entries(site.settings.staging_directory / "uploads"):
        if TEMPORARY_MARK in entry.name or not entry.is_file(follow_symlinks=False):
            continue
        size, changed = _extent(Path(entry.path))
        if now - changed > _UNKNOWN_UPLOAD_S:
            found[entry.name] = Path(entry.path), size
    with site.engine.connect() as connection:
        known = set(connection.scalars(LEDGER["unknown_uploads"], {"names": list(found)}))
    yield from (each for name, each in found.items() if name not in known)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _extent(path: Path) -> tuple[int, float]:
    """Return size and latest change of a file, or of a directory with all that is in it.

    That is the time of the inode: a copy has the modification time of its source before it has its name. One
    that has gone since it was listed has changed this moment.
    """
    found: list[os.stat_result] = []
    for each in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
        with suppress(FileNotFoundError):
            found.append(each.lstat())
    return sum(stat.st_size for stat in found), max((stat.st_ctime for stat in found), default=math.inf)


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error)
