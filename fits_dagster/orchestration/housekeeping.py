"""House-keeping: Dagster's records of old runs, which would else grow without bound."""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

from datetime import UTC, datetime, timedelta

import dagster as dg

from fits_dagster.orchestration.partitions import SITE_TAG
from fits_dagster.settings import SiteName

__all__ = ["build_housekeeping", "prune_runs"]

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_BATCH = 100
_MOST = 20_000


def prune_runs(instance: dg.DagsterInstance, older_than: datetime, tags: dict[str, str] | None = None) -> int:
    """Delete finished runs with their events; returns how many.

    Parameters
    ----------
    older_than
        Runs created before this time, UTC.
    tags
        Only runs with these tags.
    """
    pruned = 0
    while pruned < _MOST:
        records = instance.get_run_records(
            dg.RunsFilter(statuses=_FINISHED, created_before=older_than, tags=tags), limit=_BATCH
        )
        for record in records:
            instance.delete_run(record.dagster_run.run_id)
        pruned += len(records)
        if len(records) < _BATCH:
            break
    return pruned


def build_housekeeping(site: SiteName, keep_days: float) -> list[dg.ScheduleDefinition]:
    """Make the daily schedule that prunes a site's old runs."""

    @dg.op(name="prune_runs", description=f"Deletes finished runs older than {keep_days:g} days.")
    def prune(context: dg.OpExecutionContext) -> None:
        older_than = datetime.now(UTC) - timedelta(days=keep_days)
        pruned = prune_runs(context.instance, older_than, {SITE_TAG: site})
        context.log.info(f"{pruned} runs deleted")
        context.add_output_metadata({"pruned": pruned})

    @dg.job(
        name="housekeeping",
        description="Delete Dagster's records of old runs.",
        tags={SITE_TAG: site},
        executor_def=dg.in_process_executor,
    )
    def housekeeping() -> None:
        prune()

    return [
        dg.ScheduleDefinition(
            name="daily_housekeeping",
            job=housekeeping,
            cron_schedule="40 20 * * *",
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
    ]
