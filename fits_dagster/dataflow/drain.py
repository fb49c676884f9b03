"""Draining a queue: claim, work, commit, until nothing is due.

The unit of failure is the file: whatever happens to one, its neighbours go on. Results become durable batch
by batch, each file in a savepoint, together with the follow-up work. A lease that was lost in the meantime
undoes the file's writes: somebody else has it.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from fits_dagster.database import work as ledger
from fits_dagster.database.queues import event
from fits_dagster.database.work import Lease, WorkItem
from fits_dagster.dataflow.site import Site
from fits_dagster.dataflow.stage import Committed, NotReady, Stage
from fits_dagster.errors import LeaseLostError, Retry, describe_error

__all__ = ["DrainReport", "FileFailure", "drain", "drain_once", "worker_name"]

log = logging.getLogger(__name__)

#: Every so many claims take the oldest work instead of the newest.
_OLDEST_EVERY = 4
_DATABASE_PAUSE_S = 1.0
#: A transaction takes what has come within this time.
_GROUP_SECONDS = 0.2
#: Stages whose transient errors never become failures: the partner will come back some day.
_RETRY_FOR_EVER = frozenset({"export"})


@dataclass(frozen=True)
class FileFailure:
    """One file that failed, as told to people."""

    filename: str
    path: str
    night: str
    reason: str
    error: str
    traceback: str
    #: Seconds until it is tried again by itself; None when somebody has to act.
    retry_in: float | None = None


@dataclass
class DrainReport:
    """What a drain did."""

    stage: str
    done: int = 0
    bytes: int = 0
    seconds: float = 0.0
    deferred: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    by_night: dict[str, int] = field(default_factory=dict)
    failures: list[FileFailure] = field(default_factory=list)
    retrying: list[FileFailure] = field(default_factory=list)

    def count(self, item: WorkItem, committed: Committed) -> None:
        """Add one file that is done."""
        self.done += 1
        self.bytes += committed.size
        self.outcomes[committed.outcome] = self.outcomes.get(committed.outcome, 0) + 1
        self.by_night[item.night] = self.by_night.get(item.night, 0) + 1


def worker_name() -> str:
    """Return who is at work here: host, process, thread."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident() % 100000}"


def drain(
    site: Site,
    stage: Stage[Any],
    *,
    nights: Sequence[str] | None = None,
    run_id: str = "",
    linger: float = 0.0,
    stop: Callable[[], bool] = lambda: False,
    idle: Callable[[], bool] = lambda: True,
    on_round: Callable[[DrainReport], None] = lambda _: None,
    before_round: Callable[[], object] = lambda: None,
) -> DrainReport:
    """Work through a stage's queue until nothing has been due for a while.

    Parameters
    ----------
    nights
        Night labels to keep to; None for all.
    linger
        Seconds to keep polling after the last work; 0 stops as soon as nothing is due.
    stop
        Asked between batches; true ends the drain in good order.
    idle
        Asked when nothing is due: false says that more is on its way, and the drain goes on.
    on_round
        Called after each batch with the report so far.
    before_round
        Called before each claim (the copy stage looks at the DHS directory here).

    Returns
    -------
    DrainReport
        Counts, bytes and the files that failed.
    """
    report = DrainReport(stage.name)
    began = time.monotonic()
    last_work = began
    rounds = 0
    while not stop() and time.monotonic() - began < site.work.max_run_seconds:
        rounds += 1
        try:
            before_round()
            count = drain_once(
                site,
                stage,
                report,
                nights=nights,
                run_id=run_id,
                oldest=rounds % _OLDEST_EVERY == 0,
                stop=stop,
            )
        except DBAPIError as error:
            log.warning("%s: the database does not answer, trying again: %s", stage.name, error)
            count = 0
            time.sleep(_DATABASE_PAUSE_S)
        if count:
            last_work = time.monotonic()
            report.seconds = last_work - began
            on_round(report)
            continue
        if not idle():
            last_work = time.monotonic()
        if time.monotonic() - last_work >= linger:
            break
        time.sleep(site.work.poll_seconds)
    return report


def drain_once(
    site: Site,
    stage: Stage[Any],
    report: DrainReport,
    *,
    nights: Sequence[str] | None = None,
    run_id: str = "",
    oldest: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Claim one batch, work on it, commit it. What a stop leaves undone is released at once.

    Returns
    -------
    int
        Number of items claimed, without those that were merely not ready.
    """
    lease = ledger.new_lease(worker_name(), site.work.lease_seconds)
    with site.engine.begin() as connection:
        items = ledger.claim(
            connection,
            stage.name,
            lease,
            limit=site.work.batch_size,
            nights=nights,
            run_id=run_id,
            oldest=oldest,
        )
        known = stage.prepare(site, connection, items) if items else {}
    if not items:
        return 0
    deferred = report.deferred
    left = {item.id for item in items}
    with _heartbeat(site, lease, list(left)):
        try:
            for finished in _worked(site, stage, items, known, stop):
                _commit(site, stage, lease, finished, report, run_id)
                left -= {one.item.id for one in finished}
        finally:
            if left:
                with site.engine.begin() as connection:
                    ledger.release(connection, lease, sorted(left))
    return len(items) - (report.deferred - deferred)


@dataclass(frozen=True)
class _Finished:
    """One file after its work: a result or an error."""

    item: WorkItem
    result: Any
    error: BaseException | None
    seconds: float


def _worked(
    site: Site, stage: Stage[Any], items: Sequence[WorkItem], known: Any, stop: Callable[[], bool]
) -> Iterator[list[_Finished]]:
    """Work on the items, in threads where the stage allows it; yield them in small groups as they finish.

    After a stop the files in hand are finished and no further one is begun.
    """

    def one(item: WorkItem) -> _Finished:
        began = time.monotonic()
        try:
            result, error = stage.work(site, item, known.get(item.id)), None
        except Exception as raised:  # the one place where a file's error is caught
            result, error = None, raised
        return _Finished(item, result, error, time.monotonic() - began)

    def unless_stopped(item: WorkItem) -> _Finished | None:
        return None if stop() else one(item)

    if not stage.parallel or site.workers == 1 or len(items) == 1:
        results: Iterable[_Finished | None] = map(unless_stopped, items)
        yield from _grouped((r for r in results if r is not None), stage.group_size)
        return
    with ThreadPoolExecutor(site.workers, thread_name_prefix=stage.name) as pool:
        pending = [pool.submit(unless_stopped, item) for item in items]
        results = (future.result() for future in as_completed(pending))
        yield from _grouped((r for r in results if r is not None), stage.group_size)


def _grouped(finished: Iterable[_Finished], size: int) -> Iterator[list[_Finished]]:
    """Gather results that come in quick succession, so that they share a transaction."""
    group: list[_Finished] = []
    began = time.monotonic()
    for one in finished:
        group.append(one)
        if len(group) >= size or time.monotonic() - began > _GROUP_SECONDS:
            yield group
            group, began = [], time.monotonic()
    if group:
        yield group


def _commit(
    site: Site,
    stage: Stage[Any],
    lease: Lease,
    finished: Sequence[_Finished],
    report: DrainReport,
    run_id: str,
) -> None:
    """Make results durable: each file in a savepoint, all in one transaction."""
    done: list[tuple[_Finished, Committed]] = []
    with site.engine.begin() as connection:
        rest = finished
        if stage.commits_groups:
            done, rest = _commit_group(site, stage, connection, lease, finished, run_id)
        for one in rest:
            committed = _commit_one(site, stage, connection, lease, one, report, run_id)
            if committed is not None:
                done.append((one, committed))
    for one, committed in done:
        report.count(one.item, committed)
        log.info(
            "%s %s %s%s",
            committed.outcome,
            one.item.key,
            f"({committed.detail}) " if committed.detail else "",
            f"in {one.seconds * 1000:.0f} ms",
            extra={"action": committed.outcome, "frame": one.item.key, "stage": stage.name},
        )
        try:
            stage.after_commit(site, one.item, one.result)
        except OSError as error:
            log.warning("%s: left over after %s: %s", one.item.key, stage.name, error)


def _commit_group(
    site: Site,
    stage: Stage[Any],
    connection: Connection,
    lease: Lease,
    finished: Sequence[_Finished],
    run_id: str,
) -> tuple[list[tuple[_Finished, Committed]], Sequence[_Finished]]:
    """Commit all results without an error at once; returns what is done and what is left for one by one."""
    good = [one for one in finished if one.error is None]
    try:
        with connection.begin_nested():
            committed = stage.commit_group(site, connection, [(one.item, one.result) for one in good])
            ids = [one.item.id for one in good]
            if ledger.complete(connection, lease, ids) != set(ids):
                raise LeaseLostError
            done = list(zip(good, committed, strict=True))
            ledger.add_work(connection, [work for _, c in done for work in c.follow_ups])
            if done:
                connection.execute(
                    insert(event), [_event(stage, one.item, c, one.seconds, run_id) for one, c in done]
                )
    except Exception as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        log.warning("%s: a group of %d is committed one by one: %s", stage.name, len(good), error)
        return [], finished
    return done, [one for one in finished if one.error is not None]


def _commit_one(
    site: Site,
    stage: Stage[Any],
    connection: Connection,
    lease: Lease,
    one: _Finished,
    report: DrainReport,
    run_id: str,
) -> Committed | None:
    item, error = one.item, one.error
    if error is None:
        try:
            with connection.begin_nested():
                committed: Committed = stage.commit(site, connection, item, one.result)
                if item.id not in ledger.complete(connection, lease, [item.id]):
                    raise LeaseLostError(f"{item.key}: the lease ran out before the work was done")
                ledger.add_work(connection, committed.follow_ups)
                connection.execute(insert(event), _event(stage, item, committed, one.seconds, run_id))
            return committed
        except LeaseLostError as lost:
            log.warning("%s", lost)
            return None
        except Exception as raised:
            if isinstance(raised, DBAPIError) and raised.connection_invalidated:
                raise
            error = raised
    if isinstance(error, NotReady):
        ledger.defer(
            connection,
            lease,
            item.id,
            delay=error.delay,
            reason=error.reason,
            message=str(error),
            payload=error.payload,
        )
        report.deferred += 1
        return None
    with connection.begin_nested():
        _failed(site, stage, connection, lease, item, error, report, run_id)
    return None


def _failed(
    site: Site,
    stage: Stage[Any],
    connection: Connection,
    lease: Lease,
    item: WorkItem,
    error: BaseException,
    report: DrainReport,
    run_id: str,
) -> None:
    """Record a failure: another attempt later, or kept until somebody deals with it."""
    reason, retry, line, trace = describe_error(error)
    again = retry is Retry.BACKOFF and (
        item.attempts < site.work.max_attempts or stage.name in _RETRY_FOR_EVER
    )
    delay = None
    if again:
        delay = ledger.retry_delay(
            item.attempts, site.work.retry_base_seconds, site.work.retry_cap_seconds, random.random()
        )
        ledger.postpone(connection, lease, item.id, delay=delay, reason=reason, message=line, trace=trace)
    else:
        ledger.fail(connection, lease, item.id, reason=reason, message=line, trace=trace)
    stage.after_failure(site, connection, item, error)
    failure = FileFailure(item.filename, item.path, item.night, reason, line, trace, delay)
    (report.retrying if again else report.failures).append(failure)
    connection.execute(
        insert(event),
        _event(
            stage, item, Committed("retrying" if again else "failed", detail=f"{reason}: {line}"), 0, run_id
        ),
    )
    log.warning(
        "%s %s: %s: %s%s",
        stage.name,
        item.key,
        reason,
        line,
        f" (again in {delay:.0f} s)" if delay is not None else "",
        extra={"action": "failed", "frame": item.key, "stage": stage.name, "attempt": item.attempts},
    )


def _event(
    stage: Stage[Any], item: WorkItem, committed: Committed, seconds: float, run_id: str
) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "outcome": committed.outcome,
        "path": item.path,
        "filename": item.filename,
        "night": item.night,
        "run_id": run_id,
        "size": committed.size,
        "seconds": seconds,
        "detail": committed.detail[:2000],
    }


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
