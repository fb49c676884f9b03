"""``python -m fits_dagster.orchestration.instance``: make Dagster's instance ready."""

from __future__ import annotations

import dagster as dg

__all__ = ["end_orphaned_runs"]

_IN_PROGRESS = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def end_orphaned_runs(instance: dg.DagsterInstance) -> int:
    """Mark the runs of an earlier life of this system as failed; returns how many there were.

    After a host reset they would stay in progress for ever, and keep their nights to themselves. Their work
    items come back through their leases.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=_IN_PROGRESS))
    for run in runs:
        instance.report_run_failed(run, "The system was started anew; no process of this run is left.")
    return len(runs)


def main() -> None:
    """Make the tables that are missing, and end orphaned runs."""

    with dg.DagsterInstance.get() as instance:
        print(f"{end_orphaned_runs(instance)} orphaned runs ended")


if __name__ == "__main__":
    main()
