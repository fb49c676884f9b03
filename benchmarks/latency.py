"""How long a file takes from the DHS to the archive, in a whole running system."""

from __future__ import annotations

import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from fits_dagster.database.server import runs_at_work
from fits_dagster.demo.report import DemoReport
from fits_dagster.demo.run import DemoOptions, run_demo
from fits_dagster.demo.watch import Watcher
from fits_dagster.settings import Settings
from fits_dagster.sites import open_site
from fits_dagster.system.up import System

__all__ = ["measure_latency", "print_latency"]

#: Median and 95th percentile of the time to the archive's preview, seconds.
_AIMS: Final[Mapping[str, tuple[float | None, float]]] = {
    "cold": (5.0, 10.0),
    "warm": (2.5, 5.0),
    "after_quiet": (None, 8.0),
}
_PATIENCE_S: Final = 120.0
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
    warm_files: int = 0,
    quiet_rounds: int = 0,
    quiet_seconds: float = 60.0,
    first_night: str = "",
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
    warm_files
        Further files, fed one a second, right after these have arrived.
    quiet_rounds
        So often a single file is fed after nothing has happened for a while: all runs have ended.
    quiet_seconds
        For so long nothing happens before each of them.
    first_night
        Label of the earliest night that Dagster knows; by default that of the files.
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
    taken: dict[str, list[float]] = {}

    def look(system: System, _: DemoReport) -> None:
        steps.update(_steps(system))
        later = _LaterFiles(system)
        if warm_files:
            taken["warm"] = later.feed(warm_files, interval=1.0)
        for _round in range(quiet_rounds):
            later.wait_for_quiet(quiet_seconds)
            taken.setdefault("after_quiet", []).extend(later.feed(1))
        after(system)

    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="fits-dagster-bench-", dir=home, ignore_cleanup_errors=True
    ) as name:
        # what the demonstration tells while it runs must not come between the figures
        console = Console(file=sys.stderr)
        options = DemoOptions(home=Path(name), files=files, seconds=seconds, first_night=first_night)
        report = run_demo(options, console, prepare=prepare, before=before, after=look)
    latency = {place: asdict(value) for place, value in report.latency.items()}
    figures = {"cold": latency["archive_preview"], **{name: _percentiles(t) for name, t in taken.items()}}
    return {
        "bench": "latency",
        "files": files,
        "bytes": report.bytes,
        "fed_over_s": seconds,
        "seconds": report.seconds,
        "latency": latency,
        **figures,
        "steps": steps,
        "missing": len(report.missing),
        "altered": len(report.altered),
        "failed": len(report.refused),
        "timed_out": report.timed_out,
        "aims": {name: _AIMS[name] for name in figures},
        "reached": report.is_good and all(_is_reached(name, value) for name, value in figures.items()),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _percentiles(taken: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "median_s": round(statistics.median(ordered), 2),
        "p95_s": round(ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)], 2),
        "max_s": round(ordered[-1], 2),
    }


def _is_reached(name: str, value: Mapping[str, float | None]) -> bool:
    median_aim, p95_aim = _AIMS[name]
    median, p95 = value["median_s"], value["p95_s"]
    return median is not None and p95 is not None and p95 <= p95_aim and median <= (median_aim or p95_aim)


class _LaterFiles:
    """Feeds further files of tonight into a running system, and times them to the archive's preview."""

    def __init__(self, system: System) -> None:
        self._system = system
        directory = system.settings.summit.dhs_directory
        assert directory is not None
        self._directory = directory
        self._sources = sorted((system.settings.home / "night").glob("*.fits"))
        self._number = 5000

    def feed(self, count: int, *, interval: float = 0.0) -> list[float]:
        """Feed some files, and wait until all have their preview; returns the seconds that each took."""
        done: dict[str, float] = {}
        for _ in range(count):
            source = self._sources[self._number % len(self._sources)]
            name = f"{source.name[:10]}{self._number:04d}.fits"
            self._number += 1
            shutil.copyfile(source, self._directory / name)
            done[name] = time.time()
            self._look(interval)
        sites = {str(name): open_site(self._system.settings, name) for name in self._system.settings.sites}
        deadline = time.monotonic() + _PATIENCE_S
        try:
            watcher = Watcher(sites)
            while True:
                watcher.look()
                passed = {name: watcher.journeys[name].passed for name in done if name in watcher.journeys}
                if all(_WAY[-1] in passed.get(name, {}) for name in done):
                    return [passed[name][_WAY[-1]].timestamp() - at for name, at in done.items()]
                if time.monotonic() > deadline:
                    raise RuntimeError(f"files did not arrive within {_PATIENCE_S:.0f} s: {sorted(done)}")
                self._look(0.2)
        finally:
            for site in sites.values():
                site.close()

    def wait_for_quiet(self, seconds: float) -> None:
        """Wait until no run is at work, and for some seconds more."""
        deadline = time.monotonic() + _PATIENCE_S
        while runs_at_work(self._system.settings) and time.monotonic() < deadline:
            self._look(1.0)
        self._look(seconds)

    def _look(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            self._system.look()
            if (left := until - time.monotonic()) <= 0:
                return
            time.sleep(min(1.0, left))


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
    for name in ("warm", "after_quiet"):
        if name in figures:
            cells = (f"{figures[name][key]:.1f}" for key in ("median_s", "p95_s", "max_s"))
            table.add_row(f"archive preview, {name.replace('_', ' ')}", *cells)
    console.print(table)
    steps = Table("from step to step", "median s", "max s")
    for name, value in figures["steps"].items():
        steps.add_row(name, f"{value['median_s']:.1f}", f"{value['max_s']:.1f}")
    console.print(steps)
    console.print(
        f"{figures['files']} files fed over {figures['fed_over_s']:.0f} s, all settled after "
        f"{figures['seconds']} s; missing {figures['missing']}, altered {figures['altered']}, "
        f"failed {figures['failed']}; {figures['cores']} cores, load average {figures['load_average']}; "
        f"aims: {figures['aims']}",
        style="dim",
        highlight=False,
    )
