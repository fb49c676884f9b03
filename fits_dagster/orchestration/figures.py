"""What a run reports to Dagster: figures that the UI plots, tables of files, which nights were advanced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import dagster as dg

from fits_dagster.ledger.report import DrainReport, FileFailure, NightFigures
from fits_dagster.ledger.stage import Stage
from fits_dagster.nights import FileKey
from fits_dagster.orchestration.partitions import is_partition
from fits_dagster.sites import Site

__all__ = ["failure", "listed", "night_figures", "report_nights", "run_figures", "table"]

_ROWS_SHOWN = 200


def run_figures(report: DrainReport) -> dict[str, Any]:
    """Return the figures of a run, and the files that will be tried again."""
    figures: dict[str, Any] = {
        "files": report.done,
        "megabytes": round(report.bytes / 1e6, 3),
        "seconds": round(report.seconds, 2),
        "failed": len(report.failures),
        "retrying": len(report.retrying),
        **{outcome: count for outcome, count in report.outcomes.items()},
    }
    if report.retrying:
        figures["files_to_be_tried_again"] = _failures(report.retrying)
    return figures


def night_figures(site: Site, stage: Stage[Any], nights: Sequence[str]) -> dict[str, Any]:
    """Return what a stage has to say of whole nights."""
    dated = [night for night in nights if is_partition(site.work, night)]
    if not dated:
        return {}
    with site.engine.connect() as connection:
        summary = stage.summary(site, connection, dated)
    if summary is None:
        return {}
    return {**summary.figures, **({summary.title: table(summary.rows[:_ROWS_SHOWN])} if summary.rows else {})}


def report_nights(
    context: dg.OpExecutionContext,
    site: Site,
    stage: Stage[Any],
    asset_key: dg.AssetKey,
    report: DrainReport,
) -> None:
    """Report the figures of each night that a run has advanced.

    A night without a failure counts as materialized; one with a failure is only observed.
    """
    failed = Counter(each.night for each in report.failures)
    for night in sorted({*report.by_night, *failed}):
        done = report.by_night.get(night, NightFigures())
        figures: dict[str, Any] = {
            "files": done.files,
            "megabytes": round(done.bytes / 1e6, 3),
            "failed": failed[night],
            **night_figures(site, stage, [night]),
        }
        event = dg.AssetObservation if failed[night] else dg.AssetMaterialization
        context.log_event(
            event(
                asset_key,
                partition=night if is_partition(site.work, night) else None,
                metadata=figures,
                description=f"night {night}: {done.files} files done, {failed[night]} failed",
            )
        )


def failure(context: dg.OpExecutionContext, report: DrainReport) -> dg.Failure:
    """Make the failure of a step: its files with reason and error; tracebacks go to the log of the run."""
    for each in report.failures[:_ROWS_SHOWN]:
        context.log.error(f"{each.filename}: {each.reason}: {each.error}\n{each.traceback}")
    return dg.Failure(
        description=f"{report.stage}: {len(report.failures)} files failed, {report.done} done: "
        + "; ".join(f"{each.filename}: {each.reason}" for each in report.failures[:10]),
        metadata={
            **run_figures(report),
            "failed_files": _failures(report.failures),
            "where_they_are_now": _links(report.failures),
        },
        allow_retries=False,
    )


def listed(counts: Mapping[str, int]) -> str:
    """Write counts in words."""
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "nothing to do"


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Write rows as a table; one without rows, which Dagster does not take as it is, has one empty column."""
    if not rows:
        schema = dg.TableSchema(columns=[dg.TableColumn("nothing", type="string")])
        return dg.MetadataValue.table([], schema=schema)
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])


def _links(failures: Sequence[FileFailure]) -> dg.MarkdownMetadataValue:
    """Lead to the queue status page, which is served beside the Dagster UI."""
    return dg.MetadataValue.md(
        "\n".join(
            f"* [`{each.filename}`](/queuestatus/file?name={quote(each.filename)})"
            for each in failures[:_ROWS_SHOWN]
        )
    )


def _failures(failures: Sequence[FileFailure]) -> dg.TableMetadataValue:
    return table(
        [
            {
                "file": str(FileKey(each.path, each.filename)),
                "night": each.night,
                "reason": each.reason,
                "error": each.error[:500],
                "again_in_s": "" if each.retry_in is None else f"{each.retry_in:.0f}",
            }
            for each in failures[:_ROWS_SHOWN]
        ]
    )
