"""Scrub: stored files are hashed again; a bad one is moved aside and replaced by a good copy.

Nothing is ever deleted: bad bytes are kept under ``quarantine/`` in the same store before anything takes
their place. A file that cannot be restored is no longer *present*, so that nobody is served rotten bytes and
the other site sends it again.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from fits_dagster.destinations.base import destination_path
from fits_dagster.errors import DataflowError
from fits_dagster.fits.names import trimmed
from fits_dagster.fits.opening import NotAFileError, opened
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.management import write_audit
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.nights import FileKey
from fits_dagster.records import files
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site
from fits_dagster.stages import export, ingest
from fits_dagster.storage import QUARANTINE_PATH, UnsafeNameError
from fits_dagster.upkeep.copies import good_copy
from fits_dagster.upkeep.roll_call import check_store

__all__ = [
    "BadFile",
    "ScrubReport",
    "ScrubRequest",
    "bytes_to_read",
    "scrub_store",
    "send_again",
]

log = logging.getLogger(__name__)

_BATCH: Final = 200
_CHUNK: Final = 1 << 20
_MEGABYTE: Final = 1_000_000
_BOOKMARK: Final = "scrub"


@dataclass(frozen=True, kw_only=True)
class ScrubRequest:
    """Which files, and how fast. Without night and path it is all of them."""

    night: str | None = None
    path: str | None = None
    #: Megabytes (10^6 bytes) a second that are read; None: as fast as it goes.
    rate: float | None = None
    #: Go on where the last such scrub ended, for so many seconds.
    seconds: float | None = None
    #: Only tell.
    dry_run: bool = False


@dataclass
class BadFile:
    """A stored file whose bytes are not those that were recorded, or that is not there."""

    key: str
    #: ``altered`` or ``missing``.
    fault: str
    expected_md5: str
    found_md5: str | None = None
    #: Key under which its bytes are kept.
    kept_as: str | None = None
    #: Where the good copy came from.
    restored_from: str | None = None
    #: Where else it was looked for, and what became of it.
    detail: str = ""


@dataclass
class ScrubReport:
    """What a scrub has found."""

    files: int = 0
    bytes: int = 0
    bad: list[BadFile] = field(default_factory=list)
    #: Keys of files that somebody has written since they were ingested: a rescan's business.
    changed: list[str] = field(default_factory=list)
    #: Keys of files that could not be read, with the error.
    unread: dict[str, str] = field(default_factory=dict)
    #: Whether it reached the end of what it was to look at.
    complete: bool = False

    @property
    def restored(self) -> int:
        """Number of bad files that have been replaced by a good copy."""
        return sum(one.restored_from is not None for one in self.bad)

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        return {**vars(self), "bad": [vars(one) for one in self.bad], "restored": self.restored}


def scrub_store(
    site: Site,
    request: ScrubRequest,
    *,
    who: str,
    requeue: Callable[[str, str], bool] = lambda path, name: False,
    on_file: Callable[[ScrubReport], object] = lambda _: None,
) -> ScrubReport:
    """Hash stored files again and compare them with what was recorded; mend what is bad.

    A file is bad if its bytes differ although nobody has written it, twice in a row. A
    file with work on a queue is left for another time.

    Parameters
    ----------
    who
        Who asks for it, for the audit.
    requeue
        Asks the other site to send a file of a path and trimmed name again; returns whether it does.
    on_file
        Called after each file.

    Raises
    ------
    OSError
        The store is empty although it should hold files.
    """
    check_store(site)
    began, report, pace = datetime.now(UTC), ScrubReport(), _Pace(request.rate)
    until = None if request.seconds is None else time.monotonic() + request.seconds
    after = 0
    if until is not None:
        with site.engine.connect() as connection:
            after = connection.scalar(LEDGER["bookmark"], {"name": _BOOKMARK}) or 0
    values = {"night": request.night, "path": request.path, "limit": _BATCH}
    is_over = False
    while not is_over:
        with site.engine.connect() as connection:
            rows = connection.execute(RECORDS["next_to_scrub"], {**values, "after": after}).all()
        if not rows:
            report.complete, after = True, 0
            break
        for row in rows:
            _look(site, row, report, request, pace, who, requeue)
            after = row.id
            on_file(report)
            # one file at least, however little time there is
            is_over = until is not None and time.monotonic() >= until
            if is_over:
                break
    if not request.dry_run:
        with site.engine.begin() as connection:
            _note(connection, report, began, who)
            if until is not None:
                connection.execute(LEDGER["set_bookmark"], {"name": _BOOKMARK, "position": after})
    return report


def _note(connection: Connection, report: ScrubReport, began: datetime, who: str) -> None:
    figures = {"files": report.files, "bytes": report.bytes, "bad": len(report.bad)}
    figures |= {"restored": report.restored, "unread": len(report.unread)}
    values = {"began_at": began, "who": who, "complete": report.complete, **figures}
    connection.execute(LEDGER["add_scrub"], values)


def _look(
    site: Site,
    row: Row[Any],
    report: ScrubReport,
    request: ScrubRequest,
    pace: _Pace,
    who: str,
    requeue: Callable[[str, str], bool],
) -> None:
    key = str(FileKey(row.path, row.filename))
    try:
        bad = _fault(site, key, row, report, pace)
        if bad is None:
            return
        with site.engine.begin() as connection:
            # nobody may ingest or edit the file between this look and what follows from it
            if connection.scalar(RECORDS["lock_present"], {"id": row.id}) is None or _is_busy(
                connection, row
            ):
                return
            bad = _fault(site, key, row, report, pace)
            if bad is None:
                return
            if not request.dry_run:
                _mend(site, connection, key, row, bad, who, requeue)
        report.bad.append(bad)
        log.error(
            "%s is %s: %s",
            key,
            bad.fault,
            bad.restored_from or bad.detail,
            extra={"action": bad.fault, "frame": key},
        )
    except (UnsafeNameError, DataflowError, NotAFileError, OSError) as error:
        report.unread[key] = f"{type(error).__name__}: {error}"
        log.error("%s cannot be read: %s", key, error)
    finally:
        report.files += 1


def _fault(site: Site, key: str, row: Row[Any], report: ScrubReport, pace: _Pace) -> BadFile | None:
    info = site.store.stat(key)
    if info is None:
        return BadFile(key, "missing", row.file_md5)
    if site.store.has_reliable_times:
        is_another = info.modified != row.lastmod
    else:
        is_another = info.md5 is not None and info.md5 != row.file_md5
    if is_another:
        report.changed.append(key)
        return None
    digest = hashlib.md5(usedforsecurity=False)
    with site.store.local(key, verify=False) as path, opened(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            report.bytes += len(chunk)
            pace.took(len(chunk))
    md5 = digest.hexdigest()
    return None if md5 == row.file_md5 else BadFile(key, "altered", row.file_md5, md5)


def _is_busy(connection: Connection, row: Row[Any]) -> bool:
    names = [trimmed(row.filename), f"{trimmed(row.filename)}.bz2"]
    return connection.scalar(LEDGER["is_queued"], {"names": names, "path": row.path}) is not None


def _mend(
    site: Site,
    connection: Connection,
    key: str,
    row: Row[Any],
    bad: BadFile,
    who: str,
    requeue: Callable[[str, str], bool],
) -> None:
    """Move a bad file aside, and put a good copy in its place where there is one."""
    tried: list[str] = []
    if bad.found_md5 is not None:
        bad.kept_as = f"{QUARANTINE_PATH}/{key}.{datetime.now(UTC):%Y%m%dT%H%M%S}.{bad.found_md5[:8]}"
        with site.store.local(key, verify=False) as path:
            site.store.put(path, bad.kept_as, md5=bad.found_md5)
    with good_copy(site, row, tried) as good:
        if good is not None:
            info = site.store.put(good.path, key, md5=good.md5)
            bad.restored_from = good.source
            if good.same_bytes:
                files.refresh_lastmod(connection, row.id, info.modified)
            else:
                again = NewWork(stage=ingest.STAGE.name, path=row.path, filename=row.filename, force_md5=True)
                add_work(connection, [again])
    if bad.restored_from is None:
        if bad.kept_as is not None:
            site.store.delete(key)
        connection.execute(RECORDS["mark_absent"], {"id": row.id})
        asked = requeue(row.path, trimmed(row.filename))
        tried.append("asked for again" if asked else "to be sent again by hand")
    bad.detail = "; ".join(tried)
    fields = ("fault", "expected_md5", "found_md5", "kept_as", "restored_from", "detail")
    values = {"path": row.path, "filename": row.filename, **{name: getattr(bad, name) for name in fields}}
    connection.execute(LEDGER["add_quarantine"], values)
    said = f"restored from {bad.restored_from}" if bad.restored_from else "not restored"
    write_audit(connection, who, "quarantine", f"{key} ({bad.fault}), kept as {bad.kept_as}, {said}")


def bytes_to_read(site: Site, night: str | None, path: str | None) -> int:
    """Return how many bytes a scrub has before it."""
    with site.engine.connect() as connection:
        return int(connection.scalar(RECORDS["bytes_to_read"], {"night": night, "path": path}) or 0)


def send_again(site: Site, path: str, name: str) -> bool:
    """Queue a file for export, if this site has it; returns whether it does.

    Parameters
    ----------
    path, name
        As at the destination; the path here is the one that is mapped to it, or the same.
    """
    with site.engine.begin() as connection:
        held = connection.execute(RECORDS["send_again"], {"name": name}).all()
        found = [row for row in held if destination_path(row.path, site.settings.export_path_map) == path]
        work = [
            NewWork(
                stage=export.STAGE.name, path=row.path, filename=row.filename, destination=url, priority=1
            )
            for row in found
            for url in site.settings.export_destinations
        ]
        return bool(add_work(connection, work))


class _Pace:
    """Keeps reading to a rate."""

    def __init__(self, rate: float | None) -> None:
        self._per_s = None if rate is None else rate * _MEGABYTE
        self._next = time.monotonic()

    def took(self, count: int) -> None:
        """Note that so many bytes were read; waits until the next may be."""
        if self._per_s is None:
            return
        self._next = max(self._next, time.monotonic() - 1.0) + count / self._per_s
        time.sleep(max(0.0, self._next - time.monotonic()))
