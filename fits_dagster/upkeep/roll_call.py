"""Roll-call: is every file that the database calls present still in the store, and unaltered?"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.nights import FileKey
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site
from fits_dagster.storage import UnsafeNameError
from fits_dagster.storage.landing import md5_of

__all__ = ["RollCallReport", "check_store", "roll_call"]

log = logging.getLogger(__name__)

_BATCH: Final = 1000
_BOOKMARK: Final = "roll_call"


@dataclass
class RollCallReport:
    """What a roll-call found."""

    called: int = 0
    #: Keys of files that the store does not have.
    missing: list[str] = field(default_factory=list)
    #: Keys of files whose bytes differ from what was ingested.
    altered: list[str] = field(default_factory=list)
    #: Keys of files that could not be looked at, of which nothing is known.
    unread: list[str] = field(default_factory=list)
    #: Whether the round reached the end of the database; the next one begins anew.
    complete: bool = False


def roll_call(
    site: Site,
    *,
    limit: int | None = None,
    check_md5: bool = False,
    dry_run: bool = False,
    on_batch: Callable[[int], object] = lambda _: None,
) -> RollCallReport:
    """Look for every present version in the store; what is missing is no longer present.

    A limited call goes on where the one before ended, so that all files have their turn. A missing file stays
    current (canonical): what is known of it remains true.

    Parameters
    ----------
    limit
        Files to call; None for all of them, from the beginning.
    check_md5
        Read every file and compare its MD5. A difference is told and changes nothing.
    dry_run
        Change nothing.
    on_batch
        Called with the number of files called so far.

    Raises
    ------
    OSError
        The store cannot be read, or is empty; nothing is marked then.
    """
    report = RollCallReport()
    check_store(site)
    after = 0
    if limit is not None:
        with site.engine.connect() as connection:
            after = connection.scalar(LEDGER["bookmark"], {"name": _BOOKMARK}) or 0
    while limit is None or report.called < limit:
        size = _BATCH if limit is None else min(_BATCH, limit - report.called)
        with site.engine.connect() as connection:
            rows = connection.execute(RECORDS["next_versions"], {"after": after, "limit": size}).all()
        if not rows:
            report.complete = True
            after = 0
            break
        after = rows[-1].id
        missing: list[int] = []
        for row in rows:
            key = str(FileKey(row.path, row.filename))
            try:
                if site.store.stat(key) is None:
                    missing.append(row.id)
                    report.missing.append(key)
                elif check_md5 and _differs(site, key, row.file_md5):
                    report.altered.append(key)
            except (UnsafeNameError, OSError) as error:
                report.unread.append(key)
                log.error("%s cannot be looked at: %s", key, error)
        report.called += len(rows)
        if not dry_run:
            _mark(site, missing, after if limit is not None else None)
        on_batch(report.called)
    if not dry_run and limit is not None:
        _mark(site, [], after)
    if report.unread and len(report.unread) == report.called:
        raise OSError(f"none of {report.called} files of the {site.name} can be looked at: is it mounted?")
    for key in report.missing:
        log.warning("%s is not in the store; no longer present", key)
    for key in report.altered:
        log.error("%s: its bytes are not those that were ingested", key)
    return report


def check_store(site: Site) -> None:
    """Refuse to take a store that is not mounted for one that has lost everything."""
    with site.engine.connect() as connection:
        expected = connection.scalar(RECORDS["has_versions_at_root"])
    if expected and next(iter(site.store.objects("")), None) is None:
        raise OSError(f"the store of the {site.name} is empty although it should hold files: is it mounted?")


def _mark(site: Site, missing: Sequence[int], position: int | None) -> None:
    with site.engine.begin() as connection:
        if missing:
            connection.execute(RECORDS["mark_all_absent"], {"ids": missing})
        if position is not None:
            connection.execute(LEDGER["set_bookmark"], {"name": _BOOKMARK, "position": position})


def _differs(site: Site, key: str, md5: str) -> bool:
    with site.store.local(key) as path:
        return md5_of(path) != md5
