"""A worker: a Celery process that runs what is sent to the queues of its sites and stages.

Everything heavy is imported before the first child is forked, so that the children share it. A child is
forked when there is a run for it, does one run after the other, and goes when there is nothing left.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import celery
from celery.platforms import SecurityWarning
from celery.signals import worker_process_init, worker_shutting_down
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from fits_dagster.orchestration.presence import is_at_work, present, stop_all
from fits_dagster.orchestration.private import WARM_MODULES, unpack_value
from fits_dagster.orchestration.queues import celery_arguments, worker_queues
from fits_dagster.orchestration.resources import close_sites
from fits_dagster.settings import Settings, SiteName
from fits_dagster.startup import quick_imports

__all__ = ["run_worker"]

_HEAVY: Final = (
    "astropy.io.fits",
    "astropy.wcs",
    "boto3",
    "dagster_postgres",
    "fits_dagster.previews",
    "numpy",
    "PIL.Image",
    "psycopg",
    "psycopg2",
    "requests",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.postgresql.psycopg2",
)
_PARENT_DIED: Final = 1


class RunTask(celery.Task):  # type: ignore[misc]
    """Runs a Dagster run, shows that its process lives, and cleans up after it."""

    def __call__(self, execute_job_args_packed: Mapping[str, Any]) -> Any:
        """Execute the run, unless another process is at it."""
        args: Any = unpack_value(execute_job_args_packed)
        with present(args.run_id) as ours:
            if not ours:
                return 0
            try:
                return super().__call__(execute_job_args_packed=execute_job_args_packed)
            finally:
                close_sites()
                # Dagster has left its own handler, or none, in this place
                signal.signal(signal.SIGTERM, _stop)
                _end_if_orphaned()


def run_worker(
    settings: Settings,
    sites: Sequence[SiteName],
    *,
    stages: Collection[str] = (),
    processes: int | None = None,
) -> int:
    """Serve the queues of some sites and stages until SIGTERM; returns the exit status.

    SIGTERM lets the files in hand be finished, releases the rest, and ends the runs in good order.

    Parameters
    ----------
    stages
        Only these; none: all.
    processes
        Most runs at once; the default is that of the settings.
    """
    arguments = celery_arguments(settings)
    # it is about pickled messages; ours are JSON
    warnings.filterwarnings("ignore", category=SecurityWarning)
    default_queue = arguments.pop("default_queue")
    app: Any = make_app({**arguments, "task_default_queue": default_queue})  # type: ignore[no-untyped-call]
    options: dict[str, Any] = {"base": RunTask}
    create_execute_job_task(app, **options)
    create_resume_job_task(app, **options)
    with quick_imports():
        for name in (*_HEAVY, *WARM_MODULES):
            importlib.import_module(name)
        for site in sites:
            getattr(importlib.import_module("fits_dagster.code_locations"), site)
    # what is there now stays for ever: a collection in a child must not touch, and so copy, its pages
    gc.collect()
    gc.freeze()
    worker_process_init.connect(_begin_child)
    worker_shutting_down.connect(_stop_children)
    name = "-".join([settings.instance_name, *sites, *sorted(stages)])
    most = processes or settings.work.worker_processes or 1
    worker = app.Worker(
        hostname=f"{name}@%h",
        queues=worker_queues(settings, sites, stages),
        autoscale=f"{most},1",
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    _workers.append(worker)
    worker.start()
    return int(worker.exitcode or 0)


_workers: list[Any] = []
#: Of this child.
_parent = 0


def _begin_child(**_: object) -> None:
    """Prepare a child: SIGTERM ends its run in good order, and so does the death of its parent."""
    global _parent
    _parent = os.getppid()
    signal.signal(signal.SIGTERM, _stop)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIED, int(signal.SIGTERM))
    # its lines go to the log file of its site and stage
    logging.getLogger("fits_dagster").propagate = False


def _stop(*_: object) -> None:
    """End the run at work in good order; a child without one ends at once, as the pool expects of it."""
    if is_at_work():
        stop_all()
    else:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _end_if_orphaned() -> None:
    """End a child whose parent has gone: nobody would give it another run, or end it."""
    if os.getppid() != _parent:
        os._exit(0)


def _stop_children(**_: object) -> None:
    """Ask the children to finish the files in hand; the pool waits for them."""
    for worker in _workers:
        pool = getattr(worker.pool, "_pool", None)
        for child in getattr(pool, "_pool", ()):
            try:
                os.kill(child.pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
