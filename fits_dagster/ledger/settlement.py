"""Settling results: writing what a stage has done, or how it failed, with the work that follows."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from fits_dagster.errors import LeaseLostError, Retry, describe_error
from fits_dagster.ledger import items as ledger
from fits_dagster.ledger.items import Lease, WorkItem
from fits_dagster.ledger.report import DrainReport, FileFailure, Finished
from fits_dagster.ledger.stage import Committed, NotReady, Stage
from fits_dagster.ledger.tables import event
from fits_dagster.sites import Site

__all__ = ["settle"]

log = logging.getLogger(__name__)

#: Reasons that never become failures: somebody will make room some day, and is told of it by the alerts.
_WAITED_FOR: Final = frozenset({"disk_full"})


def settle(
    site: Site,
    stage: Stage[Any],
    lease: Lease,
    finished: Sequence[Finished],
    report: DrainReport,
    run_id: str,
) -> None:
    """Make results durable: each file in a savepoint, all in one transaction.

    A file whose lease was lost in the meantime changes nothing: somebody else has it.
    """
    done: list[tuple[Finished, Committed]] = []
    # follow-up work is added in one order by everybody, else two transactions may wait for each other
    finished = sorted(finished, key=lambda one: (one.item.path, one.item.filename))
    with site.engine.begin() as connection:
        rest: Sequence[Finished] = finished
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
    finished: Sequence[Finished],
    run_id: str,
) -> tuple[list[tuple[Finished, Committed]], Sequence[Finished]]:
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
    one: Finished,
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
        item.attempts < site.work.max_attempts or stage.retries_for_ever or reason in _WAITED_FOR
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
