"""One batch: claimed, worked on in threads where the stage allows it, settled in small groups."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from fits_dagster.ledger import items as ledger
from fits_dagster.ledger.courtesy import BACKGROUND_BATCH, NICENESS, lower_priority
from fits_dagster.ledger.isolated import work_alone
from fits_dagster.ledger.items import Lease, WorkItem
from fits_dagster.ledger.report import DrainReport, Finished
from fits_dagster.ledger.scope import EVERYTHING, Scope
from fits_dagster.ledger.settlement import settle
from fits_dagster.ledger.stage import Stage
from fits_dagster.sites import Site

__all__ = ["drain_once"]

log = logging.getLogger(__name__)

#: A transaction takes what has come within this time: of files that somebody waits for, and of others.
_GROUP_SECONDS: Final = 0.2
_BACKGROUND_GROUP_SECONDS: Final = 5.0


def drain_once(
    site: Site,
    stage: Stage[Any],
    report: DrainReport,
    scope: Scope = EVERYTHING,
    *,
    oldest: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Claim one batch, work on it, settle it. What a stop leaves undone is released at once.

    Returns
    -------
    int
        Number of items claimed, without those that were merely not ready.
    """
    lease = ledger.new_lease(ledger.owner_of(os.getpid()), site.work.lease_seconds)
    limit = min(BACKGROUND_BATCH, site.work.batch_size) if scope.is_background else site.work.batch_size
    with site.engine.begin() as connection:
        items = ledger.claim(
            connection, stage.name, lease, scope, limit=limit, run_id=report.run_id, oldest=oldest
        )
        known = stage.prepare(site, connection, items) if items else {}
    if not items:
        return 0
    deferred = report.deferred
    left = {item.id for item in items}
    began = time.monotonic()
    with _heartbeat(site, lease, list(left)):
        try:
            niceness = NICENESS if scope.is_background else 0
            for finished in _worked(site, stage, items, known, stop, niceness=niceness):
                settle(site, stage, lease, finished, report)
                left -= {one.item.id for one in finished}
        finally:
            if left:
                with site.engine.begin() as connection:
                    ledger.release(connection, lease, sorted(left))
    if time.monotonic() - began > lease.seconds:
        # if others took this worker for dead, it was not these files that held it up
        with site.engine.begin() as connection:
            ledger.forgive(connection, lease, [item.id for item in items])
    return len(items) - (report.deferred - deferred)


def _worked(
    site: Site,
    stage: Stage[Any],
    items: Sequence[WorkItem],
    known: Any,
    stop: Callable[[], bool],
    *,
    niceness: int = 0,
) -> Iterator[list[Finished]]:
    """Work on the items, in threads where the stage allows it; yield them in small groups as they finish.

    After a stop the files in hand are finished and no further one is begun.
    """

    def one(item: WorkItem) -> Finished:
        began = time.monotonic()
        try:
            work = partial(work_alone, site, stage) if item.is_dangerous else partial(stage.work, site)
            result, error = work(item, known.get(item.id)), None
        except Exception as raised:  # the one place where a file's error is caught
            result, error = None, raised
        return Finished(item, result, error, time.monotonic() - began)

    def unless_stopped(item: WorkItem) -> Finished | None:
        return None if stop() else one(item)

    is_background = all(item.priority <= ledger.BACKGROUND for item in items)
    seconds = _BACKGROUND_GROUP_SECONDS if is_background else _GROUP_SECONDS
    threads = min(site.workers, len(items)) if stage.parallel else 1
    if threads == 1 and not niceness:
        results: Iterable[Finished | None] = map(unless_stopped, items)
        yield from _grouped((r for r in results if r is not None), stage.group_size, seconds)
        return
    with ThreadPoolExecutor(
        threads, thread_name_prefix=stage.name, initializer=lower_priority, initargs=(niceness,)
    ) as pool:
        try:
            pending = [pool.submit(unless_stopped, item) for item in items]
            results = (future.result() for future in as_completed(pending))
            yield from _grouped((r for r in results if r is not None), stage.group_size, seconds)
        finally:
            # whoever is told to end waits for the files in hand only
            pool.shutdown(wait=False, cancel_futures=True)


def _grouped(finished: Iterable[Finished], size: int, seconds: float) -> Iterator[list[Finished]]:
    """Gather results that come in quick succession, so that they share a transaction."""
    group: list[Finished] = []
    began = time.monotonic()
    for one in finished:
        group.append(one)
        if len(group) >= size or time.monotonic() - began > seconds:
            yield group
            group, began = [], time.monotonic()
    if group:
        yield group


@contextmanager
def _heartbeat(site: Site, lease: Lease, ids: Sequence[int]) -> Iterator[None]:
    """Renew the lease every third of its length while the context lasts."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(lease.seconds / 3):
            try:
                with site.engine.begin() as connection:
                    ledger.renew(connection, lease, ids)
            except DBAPIError as error:
                log.warning("could not renew a lease: %s", error)

    thread = threading.Thread(target=beat, name="lease-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
