"""How long a file takes from the DHS to the archive, in a whole running system."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fits_dagster.dataflow.site import open_site
from fits_dagster.demo.report import DemoReport
from fits_dagster.demo.run import DemoOptions, run_demo
from fits_dagster.demo.watch import Watcher
from fits_dagster.settings import Settings
from fits_dagster.system.up import System

__all__ = ["measure_latency", "print_latency"]

_MEDIAN_AIM_S = 15.0
_P95_AIM_S = 25.0
#: The way of a file; associations are made beside the preview.
_WAY: Sequence[tuple[str, str]] = (
    ("summit", "copy"),
    ("summit", "ingest"),
    ("summit", "export"),
    ("archive", "store"),
    ("archive", "ingest"),
    ("archive", "preview"),
)


def measure_latency(
    home: Path | None,
    *,
    files: int = 40,
    seconds: float = 20.0,
    prepare: Callable[[Settings], None] = lambda _: None,
    before: Callable[[System], None] = lambda _: None,
    after: Callable[[System], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a demonstration on a temporary home and time its files.

    Parameters
    ----------
    home
        Directory below which the home is made; by default that of temporary files.
    files
        Simulated files of a night.
    seconds
        Time over which they are written into the DHS directory.
    prepare, before, after
        Called with the settings of the home before it starts, with the running system before the first file,
        and when all have settled.

    Returns
    -------
    dict
        Ready for JSON; ``latency`` has median, 95th percentile and largest value in seconds from the last
        byte on the DHS to each place, and ``steps`` the median and the largest time from each step to the
        next.
    """
    steps: dict[str, dict[str, float]] = {}

    def look(system: System, _: DemoReport) -> None:
        steps.update(_steps(system))
        after(system)

    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="fits-dagster-bench-", dir=home, ignore_cleanup_errors=True
    ) as name:
        # what the demonstration tells while it runs must not come between the figures
        console = Console(file=sys.stderr)
        options = DemoOptions(home=Path(name), files=files, seconds=seconds)
        report = run_demo(options, console, prepare=prepare, before=before, after=look)
    latency = {place: asdict(value) for place, value in report.latency.items()}
    last = report.latency["archive_preview"]
    reached = (
        last.median_s is not None
        and last.p95_s is not None
        and last.median_s <= _MEDIAN_AIM_S
        and last.p95_s <= _P95_AIM_S
    )
    return {
        "bench": "latency",
        "files": files,
        "bytes": report.bytes,
        "fed_over_s": seconds,
        "seconds": report.seconds,
        "latency": latency,
        "steps": steps,
        "missing": len(report.missing),
        "altered": len(report.altered),
        "failed": len(report.refused),
        "timed_out": report.timed_out,
        "aim": f"archive preview: median <= {_MEDIAN_AIM_S:.0f} s, p95 <= {_P95_AIM_S:.0f} s",
        "reached": reached and report.is_good,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _steps(system: System) -> dict[str, dict[str, float]]:
    """Return how long files took from each step to the next, seconds."""
    sites = {str(name): open_site(system.settings, name) for name in system.settings.sites}
    try:
        watcher = Watcher(sites)
        watcher.look()
    finally:
        for site in sites.values():
            site.close()
    found = {}
    for before, after in pairwise(_WAY):
        taken = [
            (journey.passed[after] - journey.passed[before]).total_seconds()
            for journey in watcher.journeys.values()
            if before in journey.passed and after in journey.passed
        ]
        if taken:
            name = f"{' '.join(before)} to {' '.join(after)}"
            found[name] = {"median_s": round(statistics.median(taken), 2), "max_s": round(max(taken), 2)}
    return found


def print_latency(figures: Mapping[str, Any], console: Console) -> None:
    """Show the figures as a table."""
    table = Table("from complete on the DHS to", "median s", "p95 s", "max s")
    for place, value in figures["latency"].items():
        cells = ("-" if value[key] is None else f"{value[key]:.1f}" for key in ("median_s", "p95_s", "max_s"))
        table.add_row(place.replace("_", " "), *cells)
    console.print(table)
    steps = Table("from step to step", "median s", "max s")
    for name, value in figures["steps"].items():
        steps.add_row(name, f"{value['median_s']:.1f}", f"{value['max_s']:.1f}")
    console.print(steps)
    console.print(
        f"{figures['files']} files fed over {figures['fed_over_s']:.0f} s, all settled after "
        f"{figures['seconds']} s; missing {figures['missing']}, altered {figures['altered']}, "
        f"failed {figures['failed']}; {figures['cores']} cores, load average {figures['load_average']}; "
        f"aim: {figures['aim']}",
        style="dim",
        highlight=False,
    )
