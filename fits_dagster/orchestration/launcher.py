"""Dagster's Celery launcher, made to lose nothing with its broker or its workers.

It differs from the one of dagster-celery in three points. The address comes from the settings. A task that
cannot be sent, or that was lost with its broker or with a host that had not begun it, is sent again: the run
stays in STARTING meanwhile. And whether a run's process lives is asked of the database
(:mod:`fits_dagster.orchestration.presence`), not of Celery, which takes a run for started for ever when its
host is gone.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg
import psycopg
from celery.signals import before_task_publish
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import KombuError

from fits_dagster.orchestration.partitions import SITE_TAG, age_s
from fits_dagster.orchestration.presence import held_runs
from fits_dagster.orchestration.private import (
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    LaunchRunContext,
    WorkerStatus,
)
from fits_dagster.orchestration.queues import OPERATIONS, QUEUE_TAG, celery_arguments, queue_name
from fits_dagster.settings import load_settings

__all__ = ["DataflowRunLauncher"]

log = logging.getLogger(__name__)

#: State of a task that was sent and that no worker has begun.
_SENT: Final = "SENT"
#: A task that was sent is left alone for so long; after that it may be sent twice, and run once.
_SEND_AGAIN_S: Final = 40.0
#: A run that has just been launched may not have its tags yet.
_SETTLES_S: Final = 3.0
#: A process that has lost its connection makes a new one within seconds.
_GONE_AFTER_S: Final = 8.0


class DataflowRunLauncher(CeleryRunLauncher, ConfigurableClass):
    """Hands runs to the workers of their site and stage."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._settings = load_settings()
        super().__init__(**celery_arguments(self._settings), inst_data=inst_data)
        #: When a run was first seen without a living process, or its task was sent last; monotonic time.
        self._without_process: dict[str, float] = {}
        self._sent_at: dict[str, float] = {}
        backend = self.celery.backend

        def mark(headers: Mapping[str, Any], **_: object) -> None:
            try:
                backend.store_result(headers["id"], None, _SENT)
            except Exception as error:  # the task goes out all the same; it may be sent twice
                log.warning("could not note that task %s was sent: %s", headers["id"], error)

        self._mark = mark
        before_task_publish.connect(mark, weak=True)

    @classmethod
    def config_type(cls) -> Any:
        """No configuration of its own."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> DataflowRunLauncher:
        """Make the launcher."""
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send a run to the workers. Where the broker is away it is sent later, by :meth:`send_lost_runs`."""
        run = self._with_queue(context.dagster_run)
        self._sent_at[run.run_id] = time.monotonic()
        try:
            with warnings.catch_warnings():
                # dagster-celery registers its task anew with every run
                warnings.filterwarnings("ignore", message="Task name .* is already registered")
                super().launch_run(LaunchRunContext(dagster_run=run, workspace=context.workspace))
        except (KombuError, OSError) as error:
            self._instance.report_engine_event(
                f"The broker does not take this run ({error}); it is sent again when it does.", run
            )

    def terminate(self, run_id: str) -> bool:
        """Let a run end: its process sees that it is being canceled, whatever has become of the broker."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if run.status is not dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        if run_id not in held_runs([run_id]):
            # no process is at it, and none will begin a run that has ended
            self._instance.report_run_canceled(run, "No process was at this run.")
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Tell whether a run's process lives; gone is what has been gone for a while."""
        try:
            alive = run.run_id in held_runs([run.run_id])
        except psycopg.Error as error:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"not known: {error}")
        if alive:
            self._without_process.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        since = self._without_process.setdefault(run.run_id, time.monotonic())
        if time.monotonic() - since < _GONE_AFTER_S:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its process is not seen right now")
        self._without_process.pop(run.run_id, None)
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            "Its process has gone: it was killed, or its host is away. Its files wait again.",
        )

    def send_lost_runs(self, records: Sequence[dg.RunRecord]) -> int:
        """Send runs again that no process has begun and whose task is lost, or has waited long.

        A task that comes twice does no harm: the second process finds the run in hand, or over.

        Parameters
        ----------
        records
            Runs in STARTING.

        Returns
        -------
        int
            Runs sent again.
        """
        # of a run that was launched by another process, or before this one began, Dagster knows since when
        self._sent_at = {
            record.dagster_run.run_id: self._sent_at.get(
                record.dagster_run.run_id, time.monotonic() - age_s(record.update_timestamp)
            )
            for record in records
        }
        runs = [record.dagster_run for record in records]
        late = [run for run in runs if time.monotonic() - self._sent_at[run.run_id] > _SETTLES_S]
        held = held_runs([run.run_id for run in late])
        sent = 0
        for run in late:
            if run.run_id in held or not (self._is_lost(run) or self._waits_long(run)):
                continue
            self._instance.report_engine_event("No worker has begun this run; it is sent again.", run)
            self.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
            sent += 1
        return sent

    def _waits_long(self, run: dg.DagsterRun) -> bool:
        return time.monotonic() - self._sent_at[run.run_id] > _SEND_AGAIN_S

    def _is_lost(self, run: dg.DagsterRun) -> bool:
        """Tell whether the broker knows nothing of a run's task (any more)."""
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task is None:
            return True
        try:
            return str(self.celery.AsyncResult(task).state) == "PENDING"
        except Exception as error:  # each backend has errors of its own
            log.warning("the broker does not tell about run %s: %s", run.run_id, error)
            return False

    def _with_queue(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """Return the run with its site and its queue; one of no single stage goes to the operations."""
        tags = dict(run.tags)
        origin = run.remote_job_origin
        if SITE_TAG not in tags and origin is not None:
            tags[SITE_TAG] = origin.location_name
        if QUEUE_TAG not in tags:
            tags[QUEUE_TAG] = queue_name(
                self._settings, tags.get(SITE_TAG, self._settings.sites[0]), OPERATIONS
            )
        if tags != run.tags:
            self._instance.add_run_tags(run.run_id, tags)
            run = run.with_tags(tags)
        return run
