"""What a run costs: with this launcher, and with the one that Dagster comes with."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, text

from benchmarks.idle import started_system, usage_by_process
from fits_dagster.database.server import dagster_url
from fits_dagster.system.up import System, environment

__all__ = ["measure_runs", "print_runs"]

_AIMS: Final = {"cpu_s_per_run": 0.5, "submit_to_start_s": 1.2, "burst_of_20_s": 20.0}
_BURST: Final = 20
_PATIENCE_S: Final = 300.0
_IDLE_S: Final = 20.0
#: A stage with nothing due: a whole run with connections, figures and a materialization, and no file.
_JOB: Final = "summit_edit_any_night"
_STOCK: Final = {"module": "dagster.core.launcher", "class": "DefaultRunLauncher"}

_LAUNCH: Final = """
mutation Launch($params: [ExecutionParams!]!) {
  launchMultipleRuns(executionParamsList: $params) {
    __typename ... on LaunchMultipleRunsResult { launchMultipleRunsResult {
      __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
  }
}
"""


def measure_runs(home: Path | None, *, singles: int = 5) -> dict[str, Any]:
    """Start runs one by one and twenty at once, with each launcher in a system of its own.

    Parameters
    ----------
    singles
        Runs that are started one after the other, for the time from submission to start.

    Returns
    -------
    dict
        Ready for JSON: by launcher, processor time of a run (all processes of the system, less what they use
        when nothing happens), seconds from submission to start (median), and seconds of the burst.
    """
    ours = _measure(home, stock=False, singles=singles)
    stock = _measure(home, stock=True, singles=singles)
    return {
        "bench": "runs",
        "celery": ours,
        "stock": stock,
        **ours,
        "aims": _AIMS,
        "reached": all(ours[name] <= aim for name, aim in _AIMS.items()),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def print_runs(figures: Mapping[str, Any], console: Console) -> None:
    """Show the figures as a table."""
    table = Table("launcher", "CPU s a run", "submit → start, s", "burst of 20, s")
    for name in ("celery", "stock"):
        table.add_row(name, *(f"{figures[name][key]:.2f}" for key in _AIMS))
    console.print(table)
    console.print(
        f"aims: {figures['aims']}; {figures['cores']} cores, load average {figures['load_average']}",
        style="dim",
        highlight=False,
    )


def _measure(home: Path | None, *, stock: bool, singles: int) -> dict[str, float]:
    # no linger: what is measured is the run, not its waiting for files
    with _system(home, stock=stock) as system:
        _run(system, 1)  # the first of all pays for what is imported and opened once
        waits = [_run(system, 1)[0] for _ in range(singles)]
        idle = _cpu_s(system)
        _look(system, _IDLE_S)
        idle_rate = (_cpu_s(system) - idle) / _IDLE_S
        before, began = _cpu_s(system), time.monotonic()
        _, burst = _run(system, _BURST)
        _look(system, 3.0)
        used = _cpu_s(system) - before - idle_rate * (time.monotonic() - began)
    return {
        "cpu_s_per_run": round(used / _BURST, 3),
        "submit_to_start_s": round(statistics.median(waits), 2),
        "burst_of_20_s": round(burst, 1),
    }


@contextmanager
def _system(home: Path | None, *, stock: bool) -> Iterator[System]:
    with started_system(home, work={"linger_seconds": 0.0}) as system:
        if stock:
            _use_stock_launcher(system)
        yield system


def _use_stock_launcher(system: System) -> None:
    """Start Dagster's processes again with the launcher that Dagster comes with."""
    path = system.settings.home / "dagster" / "dagster.yaml"
    configuration = yaml.safe_load(path.read_text())
    configuration["run_launcher"] = _STOCK
    path.write_text(yaml.safe_dump(configuration))
    for child in system.supervisor.children:
        if child.process is not None and child.name.startswith(("daemon", "code-", "web-")):
            child.process.kill()
            child.process.wait()
    _look(system, 15.0)


def _run(system: System, count: int) -> tuple[float, float]:
    """Start runs at once; returns the median time to their start, and the time until all have ended."""
    params = [
        {
            "selector": {
                "repositoryName": "__repository__",
                "repositoryLocationName": "summit",
                "pipelineName": _JOB,
            },
            "mode": "default",
            "runConfigData": {},
        }
    ] * count
    workspace = system.settings.home / "dagster" / "workspace.yaml"
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "dagster-graphql"),
            "-w",
            str(workspace),
            "-t",
            _LAUNCH,
            "-v",
            json.dumps({"params": params}),
        ],
        env={**os.environ, **environment(system.settings), "DAGSTER_HOME": str(workspace.parent)},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=True,
    )
    answer = json.loads(done.stdout.strip().splitlines()[-1])["data"]["launchMultipleRuns"]
    ids = [each["run"]["runId"] for each in answer["launchMultipleRunsResult"]]
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        rows = _times(system, ids)
        if len(rows) == count and all(row[2] for row in rows):
            break
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count} runs did not end within {_PATIENCE_S:.0f} s: {rows}")
        system.look()
        time.sleep(0.1)
    waits = [started - created for created, started, _ in rows]
    return statistics.median(waits), max(row[2] for row in rows) - min(row[0] for row in rows)


def _times(system: System, ids: list[str]) -> list[tuple[float, float, float]]:
    """Return when runs were created, started and ended, seconds since the epoch; 0 for not yet."""
    engine = create_engine(dagster_url(system.settings).set(drivername="postgresql+psycopg"))
    query = text("""
    select extract(epoch from create_timestamp at time zone 'UTC'), coalesce(start_time, 0),
           case when status in ('SUCCESS', 'FAILURE', 'CANCELED') then coalesce(end_time, 0) else 0 end
    from runs where run_id = any(:ids)
    """)
    try:
        with engine.connect() as connection:
            return [(float(a), float(b), float(c)) for a, b, c in connection.execute(query, {"ids": ids})]
    finally:
        engine.dispose()


def _cpu_s(system: System) -> float:
    return sum(usage.cpu_s for usage in usage_by_process(system).values())


def _look(system: System, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        system.look()
        time.sleep(0.2)
