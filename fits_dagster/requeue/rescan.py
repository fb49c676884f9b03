"""Rescan: compare a directory of the store with the database, and queue what is new or has changed.

One listing and one query, whatever the number of files; no file is opened and nothing is done per file.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from sqlalchemy import Connection

from fits_dagster.database.deadlocks import once_more_after_a_deadlock
from fits_dagster.fits.names import COMPRESSED_SUFFIX, fault_of_name, trimmed
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.records import files
from fits_dagster.sites import Site
from fits_dagster.stages import ingest
from fits_dagster.storage import ObjectInfo
from fits_dagster.storage.landing import TEMPORARY_MARK

__all__ = ["RescanReport", "is_ingestible", "rescan"]

log = logging.getLogger(__name__)


#: Time and size of a present version.
#: So few are asked for by name: the database may know very many more.
_FEW: Final = 5_000
_Known: TypeAlias = tuple[datetime, int]


@dataclass(frozen=True)
class RescanReport:
    """What a rescan found."""

    #: Files that were looked at.
    seen: int
    #: Files that were queued.
    changed: int
    seconds: float
    #: Their names, sorted.
    names: tuple[str, ...] = ()


def is_ingestible(name: str) -> bool:
    """Tell whether a file of this name is ever ingested."""
    is_data = ".fits" in name or "_obslog.txt" in name or "miscfile_" in name
    # half-written files, tiles of the display, pictures
    never = TEMPORARY_MARK in name or "tmp" in name or "tiled" in name or ".jpg" in name
    return is_data and not never


def rescan(
    site: Site,
    path: str = "",
    *,
    matches: Callable[[str], bool] | None = None,
    force: bool = False,
    force_md5: bool = False,
    priority: int = 0,
    newer_than: datetime | None = None,
    delay: float = 0.0,
    dry_run: bool = False,
) -> RescanReport:
    """Queue the ingest of every file directly under a path that is new or has changed.

    A file is known when the database has a present version of the same name, size and time.

    Parameters
    ----------
    path
        Directory in the store; not recursive.
    matches
        Keeps to the names for which it is true (those of a night, for instance).
    force
        Queue all of them, to make new versions even of unchanged content.
    force_md5
        Queue all of them, to have the MD5 compared although size and time are the same.
    priority
        Of the work; below zero it gives way to live data.
    newer_than
        Keeps to files changed since then.
    delay
        Seconds before which the ingest must not start.
    dry_run
        Queue nothing, only tell.

    Returns
    -------
    RescanReport
        Numbers seen and queued, and the time it took.

    Raises
    ------
    OSError
        The directory cannot be read.
    """
    began = time.perf_counter()
    like = NewWork(
        stage=ingest.STAGE.name,
        path=path,
        filename="",
        priority=priority,
        force=force,
        force_md5=force_md5,
        delay=delay,
    )
    with _uncollected():
        found = _found(site, path) if matches is None else _matching(site, path, matches)
        seen = [(name, info) for name, info in found if newer_than is None or info.modified >= newer_than]
        if not seen:
            return RescanReport(0, 0, time.perf_counter() - began)
        by_name = matches is not None or len(seen) <= _FEW
        names = _queue_changed(site, path, seen, by_name=by_name, dry_run=dry_run, like=like)
    return RescanReport(len(seen), len(names), time.perf_counter() - began, names)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the search for unreachable objects away while there are very many, none of which is unreachable.

    It would go through everything that this process holds, again and again: a third of a rescan.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@once_more_after_a_deadlock
def _queue_changed(
    site: Site,
    path: str,
    seen: Sequence[tuple[str, ObjectInfo]],
    *,
    by_name: bool,
    dry_run: bool,
    like: NewWork,
) -> tuple[str, ...]:
    """Queue those of the files that the database does not know as they are; returns their names."""
    with site.engine.begin() as connection:
        chosen = list(seen)
        if not (like.force or like.force_md5):
            # of a directory with many nights only what is asked for
            wanted = [name for name, _ in seen] if by_name else None
            known = _known_files(connection, path, wanted)
            same = _same_to_the_microsecond if site.store.has_reliable_times else _same_to_the_second
            chosen = [
                (name, info) for name, info in chosen if name not in known or not same(known[name], info)
            ]
        names = tuple(sorted({name for name, _ in chosen} - _refused_names(connection, path, chosen)))
        if not dry_run:
            add_work(connection, (replace(like, filename=name) for name in names))
    return names


def _found(site: Site, path: str) -> Iterable[tuple[str, ObjectInfo]]:
    """List the data files with their names, each once."""
    return _without_older_twins(_named(site.store.objects(path, wanted=is_ingestible)))


def _matching(site: Site, path: str, matches: Callable[[str], bool]) -> Iterable[tuple[str, ObjectInfo]]:
    """List the data files that match, each once; the others are not looked at."""
    others: set[str] = set()

    def wanted(name: str) -> bool:
        if matches(name):
            return is_ingestible(name)
        others.add(name)
        return False

    listed = list(_named(site.store.objects(path, wanted=wanted)))
    # one that does not match may still be the newer twin of one that does
    twins = {twin for name, _ in listed if (twin := _twin_of(name)) in others}
    beside = (site.store.stat(f"{path}/{twin}" if path else twin) for twin in twins)
    listed += _named(info for info in beside if info is not None)
    return ((name, info) for name, info in _without_older_twins(listed) if name not in twins)


def _named(objects: Iterable[ObjectInfo]) -> Iterator[tuple[str, ObjectInfo]]:
    for info in objects:
        yield info.key.rpartition("/")[2], info


def _twin_of(name: str) -> str:
    return trimmed(name) if name.endswith(COMPRESSED_SUFFIX) else f"{name}{COMPRESSED_SUFFIX}"


def _without_older_twins(listed: Iterable[tuple[str, ObjectInfo]]) -> Iterable[tuple[str, ObjectInfo]]:
    """Keep of ``X.fits`` and ``X.fits.bz2`` the one that was changed last; they are one file."""
    newest: dict[str, tuple[str, ObjectInfo]] = {}
    for one in listed:
        key = trimmed(one[0])
        if (other := newest.get(key)) is not None:
            other, one = sorted((other, one), key=lambda twin: (twin[1].modified, twin[0] == key))
            log.info("%s is left alone: %s beside it is newer", other[0], one[0])
        newest[key] = one
    return newest.values()


def _refused_names(
    connection: Connection, path: str, chosen: Sequence[tuple[str, ObjectInfo]]
) -> frozenset[str]:
    """Return the names that are not safe and have been refused already."""
    unsafe = [name for name, _ in chosen if fault_of_name(name) is not None]
    if not unsafe:
        return frozenset()
    return frozenset(connection.scalars(LEDGER["refused_names"], {"path": path, "names": unsafe}))


def _known_files(connection: Connection, path: str, names: Sequence[str] | None) -> Mapping[str, _Known]:
    """Return time and size of the present files of a path, or of some of them, in one query."""
    if names is None:
        return files.known_files(connection, path)
    return files.known_files_named(connection, path, [trimmed(name) for name in names])


def _same_to_the_microsecond(known: _Known, info: ObjectInfo) -> bool:
    return known == (info.modified, info.size)


def _same_to_the_second(known: _Known, info: ObjectInfo) -> bool:
    # an S3 listing gives milliseconds, the object itself whole seconds
    lastmod, size = known
    return size == info.size and lastmod.replace(microsecond=0) == info.modified.replace(microsecond=0)
