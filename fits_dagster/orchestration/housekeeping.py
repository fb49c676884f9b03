"""House-keeping: scheduled upkeep of a site, and of Dagster's own records of it."""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from sqlalchemy import delete

from fits_dagster.checks.reconcile import night_reports
from fits_dagster.checks.standing import recent_nights
from fits_dagster.logs import rotate_outputs
from fits_dagster.orchestration.partitions import SITE_TAG, STAGE_TAG
from fits_dagster.orchestration.private import (
    AssetCheckExecutionsTable,
    SqlEventLogStorage,
    SqlEventLogStorageTable,
)
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.settings import SiteName, SiteSettings, load_settings
from fits_dagster.sites import Site
from fits_dagster.upkeep.leftovers import find_orphans, sweep_leftovers
from fits_dagster.upkeep.pruning import prune_records, vacuum
from fits_dagster.upkeep.removal import RemovalRequest, remove_files
from fits_dagster.upkeep.roll_call import roll_call
from fits_dagster.upkeep.scrub import ScrubRequest, scrub_store

__all__ = ["build_housekeeping", "prune_runless_events", "prune_runs"]

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_BATCH = 100
_MOST = 20_000
#: Files of one hourly roll-call.
_ROLL_CALL = 25_000


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


def prune_runless_events(instance: dg.DagsterInstance, older_than: datetime) -> int:
    """Delete events that belong to no run, answers of checks above all; returns how many.

    Dagster prunes events with their runs only.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    before = older_than.replace(tzinfo=None)
    checks, events = AssetCheckExecutionsTable.c, SqlEventLogStorageTable.c
    with storage.index_connection() as connection:
        connection.execute(
            delete(AssetCheckExecutionsTable).where(checks.run_id == "", checks.create_timestamp < before)
        )
        found = connection.execute(
            delete(SqlEventLogStorageTable).where(events.run_id == "", events.timestamp < before)
        )
    return int(found.rowcount)


def build_housekeeping(
    site: SiteName, settings: SiteSettings, *, keep_runs_days: float, keep_events_days: float
) -> list[dg.ScheduleDefinition]:
    """Make the schedules of a site's upkeep, each with a job of one op."""

    def prune(context: dg.OpExecutionContext, opened: Site) -> dict[str, Any]:
        older_than = datetime.now(UTC) - timedelta(days=keep_runs_days)
        return {
            "runs": prune_runs(context.instance, older_than, {SITE_TAG: site}),
            "events without a run": prune_runless_events(context.instance, older_than),
            **prune_records(opened, keep_events_days),
        }

    def vacuumed(_: dg.OpExecutionContext, opened: Site) -> dict[str, Any]:
        return {"analysed": ", ".join(vacuum(opened))}

    def called(_: dg.OpExecutionContext, opened: Site) -> dict[str, Any]:
        report = roll_call(opened, limit=_ROLL_CALL)
        return {"called": report.called, "missing": len(report.missing), "files": _listed(report.missing)}

    def reported(context: dg.OpExecutionContext, opened: Site) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        for report in night_reports(opened, recent_nights(opened)[1:2]):
            counts = ", ".join(f"{count} {state}" for state, count in sorted(report.counts.items()))
            context.log.info(f"{report.night}: {len(report.files)} files expected: {counts}")
            figures |= {"night": report.night, "expected": len(report.files), **report.counts}
            figures["incomplete"] = _listed([f"{file.name}: {file.state}" for file in report.incomplete])
            figures["unanswered"] = _listed([f"{url}: {why}" for url, why in report.unanswered.items()])
        return figures

    def removed(context: dg.OpExecutionContext, opened: Site) -> dict[str, Any]:
        config = context.op_config
        dry_run = config["dry_run"]
        request = RemovalRequest(
            older_than_days=config["older_than_days"],
            target_free_gb=config["target_free_gb"],
            most_files=config["most_files"],
        )
        report = remove_files(opened, request, who="schedule remove_files", dry_run=dry_run)
        for reason, keys in report.kept.items():
            context.log.warning(f"{len(keys)} files kept: {reason}: {_listed(keys)}")
        return {
            "dry_run": dry_run,
            "removed": len(report.removed),
            "gigabytes": round(report.bytes / 1024**3, 3),
            "kept": sum(map(len, report.kept.values())),
            "files": _listed(report.removed),
        }

    def scrubbed(context: dg.OpExecutionContext, opened: Site) -> dict[str, Any]:
        config = context.op_config
        request = ScrubRequest(rate=config["rate_mb"], seconds=config["seconds"], dry_run=config["dry_run"])
        report = scrub_store(opened, request, who="schedule scrub")
        for bad in report.bad:
            context.log.error(f"{bad.key} is {bad.fault}, restored from {bad.restored_from}; {bad.detail}")
        return {
            "called": report.files,
            "gigabytes": round(report.bytes / 1e9, 3),
            "bad": len(report.bad),
            "restored": report.restored,
            "unread": _listed(list(report.unread)),
            "complete": report.complete,
        }

    def swept(context: dg.OpExecutionContext, opened: Site) -> dict[str, Any]:
        report, orphans = sweep_leftovers(opened), find_orphans(opened)
        if orphans:
            context.log.warning(f"{len(orphans)} stored files are known to no row: {_listed(orphans)}")
        return {
            "temporary": len(report.temporary),
            "uploads": len(report.uploads),
            "unfinished": len(report.unfinished),
            "gigabytes": round(report.bytes / 1e9, 3),
            "files": _listed([*report.temporary, *report.uploads, *report.unfinished]),
            "orphans": len(orphans),
            "outputs": _listed([path.name for path in rotate_outputs(load_settings())]),
        }

    schedules = [
        _schedule(
            site, settings, "leftovers", "31 * * * *", "Remove what dead processes left behind.", swept
        ),
        _schedule(
            site, settings, "housekeeping", "40 20 * * *", "Delete old runs, events and sessions.", prune
        ),
        _schedule(site, settings, "vacuum", "0 7 * * *", "Vacuum and analyse the database.", vacuumed),
        _schedule(
            site, settings, "roll_call", "1 * * * *", "Look for the files that should be there.", called
        ),
        _schedule(
            site, settings, "night_report", "0 8 * * *", "Expected against arrived, last night.", reported
        ),
        _schedule(
            site,
            settings,
            "scrub",
            "11 * * * *",
            "Hash stored files again, so many each hour; move bad ones aside and restore them.",
            scrubbed,
            on=False,
            config_schema={
                "rate_mb": dg.Field(float, default_value=10.0),
                "seconds": dg.Field(float, default_value=2400.0),
                "dry_run": dg.Field(bool, default_value=False),
            },
        ),
    ]
    if settings.export_destinations and settings.store == "directory":
        schedules.append(
            _schedule(
                site,
                settings,
                "remove_files",
                "5 8 * * *",
                "Remove old files that every destination holds. A dry run unless it is configured otherwise.",
                removed,
                on=False,
                config_schema={
                    "dry_run": dg.Field(bool, default_value=True),
                    "older_than_days": dg.Field(float, default_value=30.0),
                    "target_free_gb": dg.Field(dg.Noneable(float), default_value=None),
                    "most_files": dg.Field(int, default_value=2000),
                },
            )
        )
    return schedules


def _schedule(
    site: SiteName,
    settings: SiteSettings,
    name: str,
    cron: str,
    description: str,
    work: Callable[[dg.OpExecutionContext, Site], dict[str, Any]],
    *,
    on: bool = True,
    config_schema: Any = None,
) -> dg.ScheduleDefinition:
    """Make a schedule of a job of one op that does some work on the site and shows its figures."""

    @dg.op(name=name, description=description, config_schema=config_schema)
    def upkeep(context: dg.OpExecutionContext, site: SiteResource) -> None:
        opened = site.open("upkeep")
        figures = work(context, opened)
        context.log.info(", ".join(f"{key}: {value}" for key, value in figures.items()) or "done")
        context.add_output_metadata(figures)

    @dg.job(
        name=f"{name}_job",
        description=description,
        tags={SITE_TAG: site, STAGE_TAG: "upkeep"},
        executor_def=dg.in_process_executor,
    )
    def upkeep_job() -> None:
        upkeep()

    return dg.ScheduleDefinition(
        name=name,
        job=upkeep_job,
        cron_schedule=cron,
        execution_timezone=settings.time_zone,
        description=description,
        default_status=dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED,
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:50])
    return f"{shown} and {len(names) - 50} more" if len(names) > 50 else shown or "none"
