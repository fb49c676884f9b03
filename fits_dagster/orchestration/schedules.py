"""Schedules: the periodic looks for files that were changed by hand."""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

import dagster as dg

from fits_dagster.orchestration.partitions import SITE_TAG, STAGE_TAG
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.requeue.chosen_names import name_matcher
from fits_dagster.requeue.rescan import rescan
from fits_dagster.settings import SiteName, SiteSettings

__all__ = ["build_rescans"]


class RescanConfig(dg.Config):
    """What to look at."""

    path: str = ""
    file_re: str = ""


@dg.op(
    name="rescan",
    description="Queues files of the store that are new or have changed since they were ingested.",
)
def rescan_op(context: dg.OpExecutionContext, config: RescanConfig, site: SiteResource) -> None:
    """Compare a directory with the database: one listing, one query."""
    opened = site.open("rescan")
    matches = name_matcher(config.file_re) if config.file_re else None
    report = rescan(opened, config.path, matches=matches)
    context.log.info(f"{report.seen} files looked at in {report.seconds:.2f} s, {report.changed} queued")
    context.add_output_metadata(
        {"seen": report.seen, "queued": report.changed, "seconds": round(report.seconds, 3)}
    )


@dg.job(
    name="rescan_store",
    tags={STAGE_TAG: "rescan"},
    description="Look for files of the store that were changed by hand; nothing is opened.",
    executor_def=dg.in_process_executor,
)
def rescan_job() -> None:
    """Run the one op."""
    rescan_op()


def build_rescans(site: SiteName, settings: SiteSettings) -> list[dg.ScheduleDefinition]:
    """Make the schedules that a site's settings name."""
    return [
        dg.ScheduleDefinition(
            name=f"rescan_{rescan.name}",
            job=rescan_job,
            tags={SITE_TAG: site},
            cron_schedule=rescan.cron,
            execution_timezone=settings.time_zone,
            description=" ".join(["Look at", rescan.path or "the store", rescan.file_re]).strip(),
            run_config={
                "ops": {"rescan": {"config": {"path": rescan.path, "file_re": rescan.file_re}}},
            },
            default_status=dg.DefaultScheduleStatus.RUNNING
            if rescan.enabled
            else dg.DefaultScheduleStatus.STOPPED,
        )
        for rescan in settings.rescans
    ]
