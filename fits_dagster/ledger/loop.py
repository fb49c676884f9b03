"""The worker's loop: claim, work, settle, until nothing is due.

The unit of failure is the file: whatever happens to one, its neighbours go on. Results become durable batch
by batch, each file in a savepoint, together with the follow-up work. A lease that was lost in the meantime
undoes the file's writes: another worker has it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, ProgrammingError

from fits_dagster.ledger.announcements import Listener
from fits_dagster.ledger.batches import drain_once
from fits_dagster.ledger.courtesy import Courtesy
from fits_dagster.ledger.pending import next_due_s
from fits_dagster.ledger.report import DrainReport
from fits_dagster.ledger.scope import EVERYTHING, Scope
from fits_dagster.ledger.stage import Stage, pause_after
from fits_dagster.sites import Site

__all__ = ["drain"]

log = logging.getLogger(__name__)

#: Every so many claims take the oldest work instead of the newest.
_OLDEST_EVERY: Final = 4
_DATABASE_PAUSE_S: Final = 1.0
_PATIENCE_WITH_FAILURES_S: Final = 10.0
#: Work that is due and cannot be claimed (its file is in other hands) is looked at so often; and the longest
#: wait without a look, should an announcement be lost.
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.05, 5.0
_STOP_SEEN_AFTER_S: Final = 0.5


def drain(
    site: Site,
    stage: Stage[Any],
    scope: Scope = EVERYTHING,
    *,
    run_id: str = "",
    linger: float = 0.0,
    for_queued_only: bool = False,
    stop: Callable[[], bool] = lambda: False,
    on_round: Callable[[DrainReport], None] = lambda _: None,
) -> DrainReport:
    """Work through a stage's queue until nothing has been due for a while.

    While the database is away the drain waits for it, and does not end.

    Parameters
    ----------
    scope
        What to keep to. Background work gives way: nothing of it is begun while other work is due or in
        hand, except now and then.
    linger
        Seconds to wait for more after the last work, without the time that looks at files take which turn
        out not to be ready; 0 stops as soon as nothing is due.
    for_queued_only
        Wait only for what is queued and soon due, not for what may yet be queued.
    stop
        Asked between files; true ends the drain in good order.
    on_round
        Called after each batch with the report so far.

    Returns
    -------
    DrainReport
        Counts, bytes and the files that failed.
    """
    report = DrainReport(stage.name, run_id)
    rounds = 0
    courtesy = Courtesy(site, stop)
    look = stage.watch(site)
    with Listener(site.engine, [stage.name]) if linger else nullcontext() as listener:
        began = last_work = looked = time.monotonic()
        while not stop() and time.monotonic() - began < site.work.max_run_seconds:
            rounds += 1
            deferred, round_began = report.deferred, time.monotonic()
            try:
                if stage.look_every_s is not None and (rounds == 1 or time.monotonic() >= looked):
                    took = _look(stage.name, look)
                    looked = time.monotonic() + pause_after(took, stage.look_every_s)
                if scope.is_background:
                    courtesy.wait()
                oldest = rounds % _OLDEST_EVERY == 0
                count = drain_once(site, stage, report, scope, oldest=oldest, stop=stop)
                due_in = None if count else next_due_s(site, stage.name, scope)
            except ProgrammingError:
                raise  # another schema than ours: no waiting helps
            except DBAPIError as error:
                trouble = "does not answer" if error.connection_invalidated else "refuses"
                log.warning("%s: the database %s, trying again: %s", stage.name, trouble, error)
                last_work = time.monotonic()
                time.sleep(_DATABASE_PAUSE_S)
                continue
            if count:
                last_work = time.monotonic()
                report.seconds = last_work - began
                on_round(report)
                continue
            if due_in is None and for_queued_only:
                break
            if rounds == 1 or report.deferred > deferred:
                # to look at files that are not ready yet is no silence, however long a busy machine takes
                last_work += time.monotonic() - round_began
            # with a failure to report, a drain does not wait long: its run ends, and turns red
            patience = min(linger, _PATIENCE_WITH_FAILURES_S) if report.failures else linger
            left = last_work + patience - time.monotonic()
            if left <= 0:
                break
            waits = [left, site.work.poll_seconds if due_in is None else max(due_in, _SHORTEST_WAIT_S)]
            waits += [stage.look_every_s] if stage.look_every_s is not None else []
            _wait(listener, min(*waits, _LONGEST_WAIT_S), stop)
    return report


def _look(stage: str, look: Callable[[], object]) -> float:
    """Look for what has come; a directory that is away now holds up nothing that came before.

    Returns
    -------
    float
        Seconds that it took.
    """
    began = time.monotonic()
    try:
        look()
    except OSError as error:
        log.warning("%s: cannot look for what is new: %s", stage, error)
    return time.monotonic() - began


def _wait(listener: Listener | None, seconds: float, stop: Callable[[], bool]) -> None:
    """Wait for an announcement of work, no longer than some seconds; a stop ends it soon."""
    deadline = time.monotonic() + seconds
    while not stop() and (left := deadline - time.monotonic()) > 0:
        if listener is None:
            time.sleep(min(left, _STOP_SEEN_AFTER_S))
        elif listener.wait(min(left, _STOP_SEEN_AFTER_S)):
            return
