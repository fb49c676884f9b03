"""How long a file takes from the DHS to the archive, in a whole running system."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fits_dagster.demo.run import DemoOptions, run_demo

__all__ = ["measure_latency", "print_latency"]

_MEDIAN_AIM_S = 15.0
_P95_AIM_S = 25.0


def measure_latency(home: Path | None, *, files: int = 40, seconds: float = 20.0) -> dict[str, Any]:
    """Run a demonstration on a temporary home and time its files.

    Parameters
    ----------
    home
        Directory below which the home is made; by default that of temporary files.
    files
        Simulated files of a night.
    seconds
        Time over which they are written into the DHS directory.

    Returns
    -------
    dict
        Ready for JSON; ``latency`` has median, 95th percentile and largest value in seconds from the last
        byte on the DHS to each place.
    """
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="fits-dagster-bench-", dir=home, ignore_cleanup_errors=True
    ) as name:
        # what the demonstration tells while it runs must not come between the figures
        console = Console(file=sys.stderr)
        report = run_demo(DemoOptions(home=Path(name), files=files, seconds=seconds), console)
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
        "missing": len(report.missing),
        "altered": len(report.altered),
        "failed": len(report.refused),
        "timed_out": report.timed_out,
        "aim": f"archive preview: median <= {_MEDIAN_AIM_S:.0f} s, p95 <= {_P95_AIM_S:.0f} s",
        "reached": reached and report.is_good,
    }


def print_latency(figures: Mapping[str, Any], console: Console) -> None:
    """Show the figures as a table."""
    table = Table("from complete on the DHS to", "median s", "p95 s", "max s")
    for place, value in figures["latency"].items():
        cells = ("-" if value[key] is None else f"{value[key]:.1f}" for key in ("median_s", "p95_s", "max_s"))
        table.add_row(place.replace("_", " "), *cells)
    console.print(table)
    console.print(
        f"{figures['files']} files fed over {figures['fed_over_s']:.0f} s, all settled after "
        f"{figures['seconds']} s; missing {figures['missing']}, altered {figures['altered']}, "
        f"failed {figures['failed']}; aim: {figures['aim']}",
        style="dim",
        highlight=False,
    )
