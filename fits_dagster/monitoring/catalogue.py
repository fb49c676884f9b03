"""All metrics: one table, from which the scrapes are made and against which the documents are tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["LATENCY_BUCKETS", "METRICS", "Metric"]


@dataclass(frozen=True)
class Metric:
    """One metric."""

    #: As Prometheus shows it, with ``_total`` for counters.
    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str


#: Upper ends of the latency's classes, seconds.
LATENCY_BUCKETS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0)

_ALL: Final = (
    Metric("fits_dagster_build_info", "gauge", ("version",), "Always 1; the version that answers."),
    Metric("fits_dagster_part_up", "gauge", ("part",), "Whether a part of this answer could be looked up."),
    Metric("fits_dagster_queue_files", "gauge", ("stage", "state"), "Files on the queue of a stage."),
    Metric("fits_dagster_queue_oldest_seconds", "gauge", ("stage",), "Age of the oldest file that waits."),
    Metric("fits_dagster_stage_paused", "gauge", ("stage",), "Whether an operator has paused the stage."),
    Metric(
        "fits_dagster_stage_files_total",
        "counter",
        ("stage", "outcome"),
        "Files that came out of a stage: done, failed, or put off after a failed attempt (retrying).",
    ),
    Metric("fits_dagster_stage_bytes_total", "counter", ("stage",), "Bytes of the files that are done."),
    Metric("fits_dagster_stage_seconds_total", "counter", ("stage",), "Time spent on files that are done."),
    Metric(
        "fits_dagster_latency_seconds",
        "histogram",
        ("stage",),
        "Time from the last change of the DHS file (summit), or the begin of the upload (archive), until the "
        "stage is done with it.",
    ),
    Metric("fits_dagster_runs", "gauge", ("state",), "Dagster runs that are under way, by state."),
    Metric("fits_dagster_runs_last_hour", "gauge", ("state",), "Dagster runs that ended in the last hour."),
    Metric("fits_dagster_runs_at_work", "gauge", (), "Dagster runs whose process lives."),
    Metric("fits_dagster_workers", "gauge", (), "Workers that listen at the broker (Redis and Valkey only)."),
    Metric("fits_dagster_disk_free_bytes", "gauge", ("place", "directory"), "Free space for the system."),
    Metric("fits_dagster_disk_size_bytes", "gauge", ("place", "directory"), "Size of the file system."),
    Metric("fits_dagster_disk_up", "gauge", ("place", "directory"), "Whether the directory answers."),
    Metric(
        "fits_dagster_destination_up", "gauge", ("destination",), "Whether it took what it was sent last."
    ),
    Metric("fits_dagster_alerts", "gauge", ("kind",), "Conditions that last, of which people are notified."),
)

#: All metrics by name.
METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _ALL}
