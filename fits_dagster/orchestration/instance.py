"""``python -m fits_dagster.orchestration.instance``: make Dagster's instance ready."""

from __future__ import annotations

import dagster as dg

from fits_dagster.orchestration.presence import held_runs
from fits_dagster.orchestration.storage import make_tables

__all__ = ["end_orphaned_runs"]

_AT_WORK = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def end_orphaned_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs as failed whose process has gone; returns how many there were.

    After a host reset they would keep their nights to themselves until run monitoring has seen it. Their work
    items come back through their leases. Runs that no worker has begun are sent again by the sensors.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=_AT_WORK))
    held = held_runs([run.run_id for run in runs])
    orphans = [run for run in runs if run.run_id not in held]
    for run in orphans:
        instance.report_run_failed(run, "The system was started anew; no process of this run is left.")
    return len(orphans)


def main() -> None:
    """Make the tables that are missing, and end orphaned runs."""
    make_tables()
    with dg.DagsterInstance.get() as instance:
        print(f"{end_orphaned_runs(instance)} orphaned runs ended")


if __name__ == "__main__":
    main()
