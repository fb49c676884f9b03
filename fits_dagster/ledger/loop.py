"""Draining a queue: claim, work, commit, until nothing is due.

The unit of failure is the file: whatever happens to one, its neighbours go on. Results become durable batch
by batch, each file in a savepoint, together with the follow-up work. A lease that was lost in the meantime
undoes the file's writes: somebody else has it.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from sqlalchemy.exc import DBAPIError, ProgrammingError

from fits_dagster.ledger import items as ledger
from fits_dagster.ledger.announcements import Listener
from fits_dagster.ledger.isolated import work_alone
from fits_dagster.ledger.items import Lease, WorkItem
from fits_dagster.ledger.pending import has_work_in_hand, next_due_s
from fits_dagster.ledger.report import DrainReport, Finished
from fits_dagster.ledger.settlement import settle
from fits_dagster.ledger.stage import Stage
from fits_dagster.sites import Site

__all__ = ["drain", "drain_once"]

log = logging.getLogger(__name__)

#: Every so many claims take the oldest work instead of the newest.
_OLDEST_EVERY = 4
_DATABASE_PAUSE_S = 1.0
_PATIENCE_WITH_FAILURES_S = 10.0
#: Work that is due and cannot be claimed (its file is in other hands) is looked at so often; and the longest
#: wait without a look, should an announcement be lost.
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.05, 5.0
_STOP_SEEN_AFTER_S = 0.5
#: A transaction takes what has come within this time.
_GROUP_SECONDS = 0.2
#: A drain of background work begins nothing before other work has been absent for so long: files come in
#: bursts, and have more stages and another site before them; but it waits at most so long before each claim.
_QUIET_S = 10.0
_LONGEST_COURTESY_S = 30.0
#: How much it leaves the processors to everybody else.
_NICENESS = 15
#: Items that it takes at once, so that it soon looks again.
_BACKGROUND_BATCH = 8


def drain(
    site: Site,
    stage: Stage[Any],
    *,
    nights: Sequence[str] | None = None,
    run_id: str = "",
    background: bool | None = None,
    linger: float = 0.0,
    stop: Callable[[], bool] = lambda: False,
    on_round: Callable[[DrainReport], None] = lambda _: None,
) -> DrainReport:
    """Work through a stage's queue until nothing has been due for a while.

    While the database is away the drain waits for it, and does not end.

    Parameters
    ----------
    nights
        Night labels to keep to; None for all.
    background
        Keep to work of low priority (true) or to all other work (false); None for both. Background work
        gives way: nothing of it is begun while other work is due or in hand, except now and then.
    linger
        Seconds to wait for more after the last work; 0 stops as soon as nothing is due.
    stop
        Asked between files; true ends the drain in good order.
    on_round
        Called after each batch with the report so far.

    Returns
    -------
    DrainReport
        Counts, bytes and the files that failed.
    """
    report = DrainReport(stage.name)
    began = last_work = looked = time.monotonic()
    rounds = 0
    courtesy = _Courtesy(site, stop)
    with Listener(site.engine, [stage.name]) if linger else nullcontext() as listener:
        while not stop() and time.monotonic() - began < site.work.max_run_seconds:
            rounds += 1
            try:
                if stage.look_every_s is not None and (rounds == 1 or time.monotonic() >= looked):
                    stage.look(site)
                    looked = time.monotonic() + stage.look_every_s
                if background:
                    courtesy.wait()
                count = drain_once(
                    site,
                    stage,
                    report,
                    nights=nights,
                    run_id=run_id,
                    background=background,
                    oldest=rounds % _OLDEST_EVERY == 0,
                    stop=stop,
                )
                due_in = None if count else next_due_s(site, stage.name, nights, background)
            except ProgrammingError:
                raise  # another schema than ours: no waiting helps
            except DBAPIError as error:
                log.warning("%s: the database does not answer, trying again: %s", stage.name, error)
                last_work = time.monotonic()
                time.sleep(_DATABASE_PAUSE_S)
                continue
            if count:
                last_work = time.monotonic()
                report.seconds = last_work - began
                on_round(report)
                continue
            # with a failure to tell, a drain does not wait long: its run ends, and turns red
            patience = min(linger, _PATIENCE_WITH_FAILURES_S) if report.failures else linger
            left = last_work + patience - time.monotonic()
            if left <= 0:
                break
            waits = [left, site.work.poll_seconds if due_in is None else max(due_in, _SHORTEST_WAIT_S)]
            waits += [stage.look_every_s] if stage.look_every_s is not None else []
            _wait(listener, min(*waits, _LONGEST_WAIT_S), stop)
    return report


def _wait(listener: Listener | None, seconds: float, stop: Callable[[], bool]) -> None:
    """Wait for an announcement of work, no longer than some seconds; a stop ends it soon."""
    deadline = time.monotonic() + seconds
    while not stop() and (left := deadline - time.monotonic()) > 0:
        if listener is None:
            time.sleep(min(left, _STOP_SEEN_AFTER_S))
        elif listener.wait(min(left, _STOP_SEEN_AFTER_S)):
            return


def drain_once(
    site: Site,
    stage: Stage[Any],
    report: DrainReport,
    *,
    nights: Sequence[str] | None = None,
    run_id: str = "",
    background: bool | None = None,
    oldest: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Claim one batch, work on it, commit it. What a stop leaves undone is released at once.

    Returns
    -------
    int
        Number of items claimed, without those that were merely not ready.
    """
    lease = ledger.new_lease(f"{socket.gethostname()}:{os.getpid()}", site.work.lease_seconds)
    with site.engine.begin() as connection:
        items = ledger.claim(
            connection,
            stage.name,
            lease,
            limit=min(_BACKGROUND_BATCH, site.work.batch_size) if background else site.work.batch_size,
            nights=nights,
            run_id=run_id,
            oldest=oldest,
            background=background,
        )
        known = stage.prepare(site, connection, items) if items else {}
    if not items:
        return 0
    deferred = report.deferred
    left = {item.id for item in items}
    began = time.monotonic()
    with _heartbeat(site, lease, list(left)):
        try:
            for finished in _worked(site, stage, items, known, stop, niceness=_NICENESS if background else 0):
                settle(site, stage, lease, finished, report, run_id)
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


class _Courtesy:
    """Gives way to work that is not background work."""

    def __init__(self, site: Site, stop: Callable[[], bool]) -> None:
        self._site = site
        self._stop = stop
        self._busy_at = -_QUIET_S

    def wait(self) -> None:
        """Wait until nothing but background work has been due or in hand for a while, though not for ever."""
        deadline = time.monotonic() + _LONGEST_COURTESY_S
        while not self._stop():
            with self._site.engine.connect() as connection:
                if has_work_in_hand(connection, None, background=False):
                    self._busy_at = time.monotonic()
            now = time.monotonic()
            if now - self._busy_at >= _QUIET_S or now >= deadline:
                return
            time.sleep(self._site.work.poll_seconds)


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

    threads = min(site.workers, len(items)) if stage.parallel else 1
    if threads == 1 and not niceness:
        results: Iterable[Finished | None] = map(unless_stopped, items)
        yield from _grouped((r for r in results if r is not None), stage.group_size)
        return
    with ThreadPoolExecutor(
        threads, thread_name_prefix=stage.name, initializer=_give_way, initargs=(niceness,)
    ) as pool:
        pending = [pool.submit(unless_stopped, item) for item in items]
        results = (future.result() for future in as_completed(pending))
        yield from _grouped((r for r in results if r is not None), stage.group_size)


def _give_way(niceness: int) -> None:
    """Leave the processors to others, in this thread only: the process may do live work next.

    A Linux thread has a niceness of its own; elsewhere it is the process's, which is left as it is.
    """
    if niceness and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def _grouped(finished: Iterable[Finished], size: int) -> Iterator[list[Finished]]:
    """Gather results that come in quick succession, so that they share a transaction."""
    group: list[Finished] = []
    began = time.monotonic()
    for one in finished:
        group.append(one)
        if len(group) >= size or time.monotonic() - began > _GROUP_SECONDS:
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
