"""Sensors: look at the DHS directory and at the queues, and ask for a run where work has none.

The database is the truth; a sensor keeps no cursor, so a lost one costs nothing. A tick does not look once
and end: it waits inside for what may come, and returns at the first find. Dagster begins ticks in rounds of
five seconds, so one that ends just before a round is blind for a moment only; and a tick costs Dagster a
hundred times what a look costs us, so while nothing happens they are few and long.
"""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import dagster as dg
import psycopg
from sqlalchemy.exc import OperationalError

from fits_dagster.broker import BrokerError, wait_for_broker
from fits_dagster.ledger.announcements import Listener
from fits_dagster.ledger.items import reap
from fits_dagster.ledger.pending import due_work, has_work_in_hand
from fits_dagster.ledger.stage import Stage, pause_after
from fits_dagster.orchestration.assets import Job, StageAsset
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.orchestration.wanted import (
    RunsInProgress,
    background_runs,
    runs_for,
    runs_in_progress,
)
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.sites import Site
from fits_dagster.stages.registry import sources_of, stages_of

__all__ = ["build_sensors"]

log = logging.getLogger(__name__)

Request = dg.RunRequest | dg.SkipReason

#: Less than the five seconds of Dagster's loop, so that none of its rounds is missed by a hair.
_INTERVAL_S = 3
#: Between two looks at the queues behind the first, which are in good hands mostly.
_LOOK_AT_QUEUES_EVERY_S = 2.0
#: Work this young is left to the run that is at it.
_SETTLED_S = 3.0
#: What was put off becomes due without a word: so the database is asked this often where nothing has come.
_ASK_AGAIN_S = 1.0
_BROKER_PATIENCE_S = 1.0
#: Where work is announced at every moment, most looks find it in good hands: so they pause for so many times
#: what they take, and no longer than that many seconds.
_PAUSES_OF_A_LOOK, _LONGEST_PAUSE_S = 5.0, 0.3


def build_sensors(site: SiteName, assets: Sequence[StageAsset]) -> list[dg.SensorDefinition]:
    """Make the sensors of a site: one for each stage at which files arrive, one for its queues."""
    by_stage = {each.stage: each for each in assets}
    sources = sources_of(load_settings().site(site))
    return [*(_arrivals_sensor(stage, by_stage) for stage in sources), _queue_sensor(site, by_stage)]


def _jobs(assets: Mapping[str, StageAsset]) -> list[Job]:
    return [job for each in assets.values() for job in (each.night_job, each.any_night_job)]


def _arrivals_sensor(stage: Stage[Any], by_stage: Mapping[str, StageAsset]) -> dg.SensorDefinition:
    @dg.sensor(
        name=stage.sensor or f"{stage.name}_arrivals",
        description=stage.sensor_description or f"What comes in by the stage {stage.name}.",
        jobs=_jobs(by_stage),
        minimum_interval_seconds=_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def arrivals(context: dg.SensorEvaluationContext, site_resource: SiteResource) -> Iterator[Request]:
        opened = site_resource.open("sensors")
        queue_what_has_come = stage.watch(opened)
        asked = 0.0

        def look(is_told: bool) -> list[dg.RunRequest]:
            nonlocal asked
            has_come = queue_what_has_come()
            if not (has_come or is_told) and time.monotonic() < asked + _ASK_AGAIN_S:
                return []
            asked = time.monotonic()
            return list(_arrived(context.instance, opened, stage, by_stage))

        yield from _within_a_tick(context, opened, [stage.name], look, every=stage.look_every_s)

    return arrivals


def _queue_sensor(site: SiteName, by_stage: Mapping[str, StageAsset]) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{site}_queue",
        description="Work that is due and that no run is at; also frees what dead workers held.",
        jobs=_jobs(by_stage),
        minimum_interval_seconds=_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def queue(context: dg.SensorEvaluationContext, site_resource: SiteResource) -> Iterator[Request]:
        opened = site_resource.open("sensors")
        looks = count()

        def look(_is_told: bool) -> list[dg.RunRequest]:
            # Dagster is asked for its runs once a tick even so: one may be left that nobody has begun
            is_first = next(looks) == 0
            with opened.engine.begin() as connection:
                if not (is_first or has_work_in_hand(connection)):
                    return []
                freed = reap(connection)
            if freed:
                context.log.warning(f"{freed} files were held by workers that are gone; they wait again")
            return list(_left_over(context.instance, opened, by_stage))

        yield from _within_a_tick(context, opened, (), look, every=_LOOK_AT_QUEUES_EVERY_S)

    return queue


def _within_a_tick(
    context: dg.SensorEvaluationContext,
    site: Site,
    stages: Sequence[str],
    look: Callable[[bool], list[dg.RunRequest]],
    *,
    every: float | None,
) -> Iterator[Request]:
    """Look until there is something to ask for, or the tick is over.

    Parameters
    ----------
    stages
        An announcement of their work leads to a look at once.
    look
        Called with whether there may be work that nobody has looked at: at first, and after an announcement.
    every
        Seconds between two looks; None when announcements tell everything.
    """
    deadline = time.monotonic() + site.work.tick_seconds
    try:
        with Listener(site.engine, stages) as listener:
            is_told = True
            while True:
                began = time.monotonic()
                if (requests := look(is_told)) or (left := deadline - time.monotonic()) <= 0:
                    break
                took = time.monotonic() - began
                time.sleep(min(_PAUSES_OF_A_LOOK * took, _LONGEST_PAUSE_S, left))
                left = max(0.0, deadline - time.monotonic())
                is_told = listener.wait(left if every is None else min(pause_after(took, every), left))
            if requests and _is_launched_by_celery(context.instance):
                wait_for_broker(load_settings(), seconds=_BROKER_PATIENCE_S)
    except (OSError, OperationalError, psycopg.Error, BrokerError) as error:
        # a mount, a database or a broker that is away comes back; the sensor stays on
        yield dg.SkipReason(f"{type(error).__name__}: {error}")
        return
    if requests:
        yield from requests
    else:
        yield dg.SkipReason("nothing is due that has no run")


def _arrived(
    instance: dg.DagsterInstance, site: Site, stage: Stage[Any], assets: Mapping[str, StageAsset]
) -> Iterator[dg.RunRequest]:
    """Ask for the runs that the files that have just come need."""
    with site.engine.connect() as connection:
        due = due_work(connection, [stage.name])
    if not due:
        return
    yield from runs_for(site, assets, due, runs_in_progress(instance, site))


def _left_over(
    instance: dg.DagsterInstance, site: Site, assets: Mapping[str, StageAsset]
) -> Iterator[dg.RunRequest]:
    """Ask for what is due and has no run; see to runs that were launched and that nobody has begun."""
    stages = [stage.name for stage in stages_of(site.settings)]
    with site.engine.connect() as connection:
        due = due_work(connection, stages, settled_s=_SETTLED_S)
        background = due_work(connection, stages, settled_s=_SETTLED_S, background=True)
    busy = runs_in_progress(instance, site)
    _send_lost_runs(instance, busy)
    for run in busy.left_behind:
        # its work waits still, and gets another run
        instance.report_run_canceled(run, "It was made and never submitted: the daemon was broken off.")
    yield from runs_for(site, assets, due, busy)
    yield from background_runs(site, assets, background, busy)


def _send_lost_runs(instance: dg.DagsterInstance, busy: RunsInProgress) -> None:
    if busy.starting and _is_launched_by_celery(instance):
        from fits_dagster.orchestration.launcher import DataflowRunLauncher

        assert isinstance(instance.run_launcher, DataflowRunLauncher)
        if sent := instance.run_launcher.send_lost_runs(busy.starting):
            log.warning("%d runs that no worker had begun were sent again", sent)


def _is_launched_by_celery(instance: dg.DagsterInstance) -> bool:
    return type(instance.run_launcher).__name__ == "DataflowRunLauncher"
