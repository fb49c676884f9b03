"""Sensors: look at the DHS directory and at the queues, and start a run where work has none.

The database is the truth; a sensor keeps no cursor, so a lost one costs nothing. A tick is one directory
listing and a few queries.
"""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from sqlalchemy.exc import OperationalError

from fits_dagster.database.work import reap
from fits_dagster.dataflow import copy
from fits_dagster.dataflow.heartbeat import dead_runs, live_runs, nights_in_background
from fits_dagster.dataflow.pending import due_nights
from fits_dagster.dataflow.site import Site
from fits_dagster.dataflow.stages import SITE_STAGES
from fits_dagster.orchestration.partitions import (
    NIGHT_TAG,
    SITE_TAG,
    UNIT_TAG,
    background_unit,
    everything_unit,
    is_live,
    is_partition,
    tonight,
)
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.settings import SiteName

__all__ = ["build_sensors"]

#: A job of assets, or one of a graph.
Job = dg.JobDefinition | UnresolvedAssetJobDefinition
Request = dg.RunRequest | dg.SkipReason

_INTERVAL_S = 5
#: Work this young is left to the run that is at it.
_SETTLED_S = 10.0
#: A run without a heartbeat is still on its way for this long: from its launch until its process says that it
#: runs (a process that was killed before never will), and from there until its stages are at work.
_GRACE_S = {
    dg.DagsterRunStatus.STARTING: 90.0,
    dg.DagsterRunStatus.STARTED: 60.0,
    dg.DagsterRunStatus.CANCELING: 60.0,
}

_PARTITION_TAG = "dagster/partition"
_PRIORITY_TAG = "dagster/priority"
#: Runs of files that come now are started before those of a backfill that were asked for earlier.
_LIVE_PRIORITY, _BACKGROUND_PRIORITY = "10", "-10"
_IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass
class Coverage:
    """What the runs in progress work on."""

    nights: set[str] = field(default_factory=set)
    #: Whether one of them takes whatever is due.
    everything: bool = False
    #: Whether one of them takes what is of low priority.
    background: bool = False


def build_sensors(site: SiteName, night_job: Job, nights_job: Job) -> list[dg.SensorDefinition]:
    """Make the sensors of a site: one for what arrives, one for its queues."""
    stages = [stage.name for stage in SITE_STAGES[site]]
    arrival, rest = stages[0], stages[1:]
    name, description = {
        "summit": ("dhs_files", "New and changed files in the DHS directory."),
        "archive": ("uploaded_files", "Files received over HTTP that wait to be stored."),
    }[site]

    def evaluate(
        context: dg.SensorEvaluationContext, opened: Site, watched: Sequence[str], settled: float
    ) -> Iterator[Request]:
        with opened.engine.connect() as connection:
            due = due_nights(connection, watched, settled_s=settled)
        requests: list[Request] = []
        standing = [tonight(opened.settings)] if opened.work.standing_runs and arrival in watched else []
        if due or standing:
            requests += _requests(
                site,
                list(dict.fromkeys([*due, *standing])),
                covered_nights(context.instance, opened),
                night_job.name,
                nights_job.name,
                own=opened.work.nights_with_own_run,
            )
        if arrival not in watched and (request := _background_request(opened, watched, context, nights_job)):
            requests.append(request)
        if not requests:
            what = (
                f"work for {len(due)} nights is in hand" if due else f"nothing is due in {', '.join(watched)}"
            )
            requests.append(dg.SkipReason(what))
        yield from requests

    @dg.sensor(
        name=name,
        description=description,
        jobs=[night_job, nights_job],
        minimum_interval_seconds=_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def arrivals(context: dg.SensorEvaluationContext, site_resource: SiteResource) -> Iterator[Request]:
        opened = site_resource.open("sensors")
        try:
            if site == "summit":
                copy.scan_dhs(opened)
            yield from evaluate(context, opened, [arrival], 0.0)
        except (OSError, OperationalError) as error:
            # a mount or a database that is away comes back; the sensor stays on
            yield dg.SkipReason(f"{type(error).__name__}: {error}")

    @dg.sensor(
        name=f"{site}_queue",
        description="Work that is due and that no run is at; also frees what dead workers held.",
        jobs=[night_job, nights_job],
        minimum_interval_seconds=_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def queue(context: dg.SensorEvaluationContext, site_resource: SiteResource) -> Iterator[Request]:
        opened = site_resource.open("sensors")
        try:
            with opened.engine.begin() as connection:
                freed = reap(connection)
            if freed:
                context.log.warning(f"{freed} files were held by workers that are gone; they wait again")
            yield from evaluate(context, opened, rest, _SETTLED_S)
        except OperationalError as error:
            yield dg.SkipReason(f"{type(error).__name__}: {error}")

    return [arrivals, queue]


def _requests(
    site: SiteName, due: Sequence[str], covered: Coverage, night_job: str, nights_job: str, *, own: int
) -> Iterator[dg.RunRequest]:
    """Ask for runs: one a night for nights that are on or few, and one for all others together."""
    free = [night for night in due if night not in covered.nights]
    few = len(free) <= own
    alone = [night for night in free if is_partition(night) and (is_live(night) or few)]
    for night in alone:
        if covered.everything and not is_live(night):
            continue
        yield dg.RunRequest(
            job_name=night_job,
            partition_key=night,
            tags={
                SITE_TAG: site,
                NIGHT_TAG: night,
                UNIT_TAG: f"{site}:{night}",
                _PRIORITY_TAG: _LIVE_PRIORITY if is_live(night) else "0",
            },
        )
    if set(free) - set(alone) and not covered.everything:
        yield dg.RunRequest(job_name=nights_job, tags={SITE_TAG: site, UNIT_TAG: everything_unit(site)})


def _background_request(
    site: Site, stages: Sequence[str], context: dg.SensorEvaluationContext, nights_job: Job
) -> dg.RunRequest | None:
    """Ask for a run of the work of low priority that no run of a backfill is at."""
    with site.engine.connect() as connection:
        due = set(due_nights(connection, stages, settled_s=_SETTLED_S, background=True))
        left = due - nights_in_background(connection) if due else due
    if not left or covered_nights(context.instance, site).background:
        return None
    unit = background_unit(site.name)
    tags = {SITE_TAG: site.name, UNIT_TAG: unit, _PRIORITY_TAG: _BACKGROUND_PRIORITY}
    return dg.RunRequest(job_name=nights_job.name, tags=tags)


def covered_nights(instance: dg.DagsterInstance, site: Site) -> Coverage:
    """Return what the runs of this site work on or are about to.

    A run that Dagster takes for alive but whose stages have no heartbeat any more (its machine was reset,
    its processes were killed) is marked as failed, so that its nights are free again.
    """
    with site.engine.connect() as connection:
        alive, dead = live_runs(connection), dead_runs(connection)
    coverage = Coverage()
    for record in instance.get_run_records(
        dg.RunsFilter(statuses=_IN_PROGRESS, tags={SITE_TAG: site.name}), limit=200
    ):
        run = record.dagster_run
        since = record.start_time or record.update_timestamp.timestamp()
        overdue = time.time() - since > _GRACE_S.get(run.status, math.inf)
        if run.run_id in dead or (overdue and run.run_id not in alive):
            instance.report_run_failed(run, "No process of this run shows a heartbeat.")
        elif (unit := run.tags.get(UNIT_TAG)) is None:
            continue
        elif (night := run.tags.get(_PARTITION_TAG)) is not None:
            coverage.nights.add(night)
        elif unit == everything_unit(site.name):
            coverage.everything = True
        elif unit == background_unit(site.name):
            coverage.background = True
    return coverage
