"""Settling results: writing what a stage has done, or how it failed, with the work that follows."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from fits_dagster.errors import LeaseLostError, Retry, describe_error
from fits_dagster.ledger import items as ledger
from fits_dagster.ledger.items import Lease, WorkItem
from fits_dagster.ledger.queries import QUERIES
from fits_dagster.ledger.report import DrainReport, FileFailure, Finished
from fits_dagster.ledger.retry import RetryPolicy
from fits_dagster.ledger.stage import Committed, NotReady, Stage
from fits_dagster.nights import FileKey
from fits_dagster.sites import Site

__all__ = ["settle"]

log = logging.getLogger(__name__)


@dataclass
class _Outcome:
    """What one transaction has settled; it is reported when the transaction has come through."""

    done: list[tuple[Finished, Committed]] = field(default_factory=list)
    deferred: int = 0
    #: Failures, with the pause before the next attempt where there is one.
    failures: list[FileFailure] = field(default_factory=list)


def settle(
    site: Site, stage: Stage[Any], lease: Lease, finished: Sequence[Finished], report: DrainReport
) -> None:
    """Make results durable: each file in a savepoint, all in one transaction.

    A file whose lease was lost in the meantime changes nothing: another worker has it.
    """
    # follow-up work is added in one order by everybody, else two transactions may wait for each other
    finished = sorted(finished, key=lambda one: (one.item.path, one.item.filename))
    settlement = _Settlement(site, stage, lease, report.run_id)
    with site.engine.begin() as connection:
        outcome = settlement.settle(connection, finished)
    report.deferred += outcome.deferred
    for failure in outcome.failures:
        (report.failures if failure.retry_in is None else report.retrying).append(failure)
        key = str(FileKey(failure.path, failure.filename))
        log.warning(
            "%s %s: %s: %s%s%s",
            stage.name,
            key,
            failure.reason,
            failure.error,
            f" (again in {failure.retry_in:.0f} s)" if failure.retry_in is not None else "",
            _shown(failure.content),
            extra=_fields("failed", key, stage.name, failure.content),
        )
    for one, committed in outcome.done:
        report.count(one.item, committed)
        log.info(
            "%s %s %s%s%s",
            committed.outcome,
            one.item.key,
            f"({committed.detail}) " if committed.detail else "",
            f"in {one.seconds * 1000:.0f} ms",
            _shown(committed.content),
            extra=_fields(committed.outcome, one.item.key, stage.name, committed.content),
        )
        try:
            stage.after_commit(site, one.item, one.result)
        except OSError as error:
            log.warning("%s: left over after %s: %s", one.item.key, stage.name, error)


def _shown(content: str) -> str:
    return f", content {content}" if content else ""


def _fields(action: str, key: str, stage: str, content: str) -> Mapping[str, str]:
    """Return what a line carries; a file is called the same at all sites by its trimmed name."""
    file = FileKey.parse(key).name
    return {"action": action, "frame": key, "file": file, "stage": stage, "content": content}


@dataclass(frozen=True)
class _Settlement:
    site: Site
    stage: Stage[Any]
    lease: Lease
    run_id: str

    def settle(self, connection: Connection, finished: Sequence[Finished]) -> _Outcome:
        outcome = _Outcome()
        for one in self._group(connection, finished, outcome):
            error = one.error or self._commit(connection, one, outcome)
            if isinstance(error, NotReady):
                self._defer(connection, one.item, error)
                outcome.deferred += 1
            elif error is not None:
                with connection.begin_nested():
                    failure = self._fail(connection, one.item, error)
                outcome.failures.append(failure)
        return outcome

    def _group(
        self, connection: Connection, finished: Sequence[Finished], outcome: _Outcome
    ) -> Sequence[Finished]:
        """Commit all results without an error at once; returns what is left for one by one."""
        good = [one for one in finished if one.error is None]
        if len(good) < 2:
            return finished
        began = time.monotonic()
        try:
            with connection.begin_nested():
                results = [(one.item, one.result) for one in good]
                committed = self.stage.commit_group(self.site, connection, results)
                ids = [one.item.id for one in good]
                if ledger.complete(connection, self.lease, ids) != set(ids):
                    raise LeaseLostError
                share = (time.monotonic() - began) / len(good)
                done = [(one.taking(share), what) for one, what in zip(good, committed, strict=True)]
                self._follow_up(connection, done)
        except Exception as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            log.warning("%s: a group of %d is committed one by one: %s", self.stage.name, len(good), error)
            return finished
        outcome.done += done
        return [one for one in finished if one.error is not None]

    def _commit(self, connection: Connection, one: Finished, outcome: _Outcome) -> Exception | None:
        """Commit one result; returns what went wrong with it."""
        item, began = one.item, time.monotonic()
        try:
            with connection.begin_nested():
                committed = self.stage.commit(self.site, connection, item, one.result)
                if item.id not in ledger.complete(connection, self.lease, [item.id]):
                    raise LeaseLostError(f"{item.key}: the lease ran out before the work was done")
                one = one.taking(time.monotonic() - began)
                self._follow_up(connection, [(one, committed)])
        except LeaseLostError as lost:
            log.warning("%s", lost)
            return None
        except Exception as raised:
            if isinstance(raised, DBAPIError) and raised.connection_invalidated:
                raise
            return raised
        outcome.done.append((one, committed))
        return None

    def _follow_up(self, connection: Connection, done: Sequence[tuple[Finished, Committed]]) -> None:
        ledger.add_work(connection, [work for _, committed in done for work in committed.follow_ups])
        self._note(connection, [(one.item, committed, one.seconds) for one, committed in done])

    def _defer(self, connection: Connection, item: WorkItem, error: NotReady) -> None:
        ledger.defer(
            connection,
            self.lease,
            item.id,
            delay=error.delay,
            reason=error.reason,
            message=str(error),
            payload=error.payload,
        )

    def _fail(self, connection: Connection, item: WorkItem, error: BaseException) -> FileFailure:
        """Record a failure: another attempt later, or kept until a person deals with it."""
        reason, retry, line, trace = describe_error(error)
        delay = None
        if retry is Retry.BACKOFF:
            policy = RetryPolicy.of(self.site.work, for_ever=self.stage.retries_for_ever)
            delay = policy.delay(item.attempts, reason)
        if delay is not None:
            ledger.postpone(
                connection, self.lease, item.id, delay=delay, reason=reason, message=line, trace=trace
            )
        else:
            ledger.fail(connection, self.lease, item.id, reason=reason, message=line, trace=trace)
        self.stage.after_failure(self.site, connection, item, error)
        outcome = "failed" if delay is None else "retrying"
        self._note(connection, [(item, Committed(outcome, detail=f"{reason}: {line}"), 0.0)])
        return FileFailure(item.filename, item.path, item.night, reason, line, trace, delay, item.content)

    def _note(self, connection: Connection, done: Sequence[tuple[WorkItem, Committed, float]]) -> None:
        """Write the history."""
        if not done:
            return
        connection.execute(
            QUERIES["add_events"],
            {
                "stage": self.stage.name,
                "run_id": self.run_id,
                "outcomes": [committed.outcome for _, committed, _ in done],
                "paths": [item.path for item, _, _ in done],
                "filenames": [item.filename for item, _, _ in done],
                "nights": [item.night for item, _, _ in done],
                "sizes": [committed.size for _, committed, _ in done],
                "seconds": [seconds for _, _, seconds in done],
                "details": [committed.detail[:2000] for _, committed, _ in done],
            },
        )
