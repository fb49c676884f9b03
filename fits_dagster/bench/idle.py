"""What a whole system costs while nothing happens: processor, memory, processes."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console
from rich.table import Table

from fits_dagster.settings import load_settings
from fits_dagster.system.up import System, running_system

__all__ = ["Usage", "measure_idle", "print_idle", "started_system", "usage_by_process"]

_AIMS: Final = {"cpu_s_per_min": 6.0, "pss_mb": 1200.0, "processes": 45}


@dataclass(frozen=True)
class Usage:
    """What one process has used until now."""

    name: str
    #: Processor time of the process and of its children that have ended, seconds.
    cpu_s: float
    #: Proportional set size: shared pages are counted once, 10**6 bytes.
    pss_mb: float


@contextmanager
def started_system(home: Path | None, **changes: object) -> Iterator[System]:
    """Run a whole system on a temporary home for the time of the context."""
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(
            prefix="fits-dagster-bench-", dir=home, ignore_cleanup_errors=True
        ) as name,
        running_system(load_settings(Path(name) / "home", **changes)) as system,
    ):
        yield system


def usage_by_process(system: System) -> dict[int, Usage]:
    """Return what each process of a system has used, its PostgreSQL's and ours, by process id."""
    root = psutil.Process()
    pid_file = system.settings.home / "postgresql" / "data" / "postmaster.pid"
    family = [root, *root.children(recursive=True)]
    if pid_file.is_file():
        postmaster = psutil.Process(int(pid_file.read_text().split()[0]))
        family += [postmaster, *postmaster.children(recursive=True)]
    found = {}
    for process in family:
        try:
            times = process.cpu_times()
            found[process.pid] = Usage(
                _name(process.cmdline()),
                times.user + times.system + times.children_user + times.children_system,
                process.memory_full_info().pss / 1e6,
            )
        except (psutil.Error, OSError):
            continue
    return found


def measure_idle(
    home: Path | None, *, settle_seconds: float = 60.0, seconds: float = 120.0
) -> dict[str, Any]:
    """Start both sites, let them settle, and watch them do nothing.

    Parameters
    ----------
    settle_seconds
        Time before the measurement, in which what was started for the start goes again.
    seconds
        Time of the measurement.

    Returns
    -------
    dict
        Ready for JSON: ``cpu_s_per_min``, ``pss_mb``, ``processes``, and ``who``: the same by kind.
    """
    with started_system(home) as system:
        _wait(system, settle_seconds)
        before = usage_by_process(system)
        began = time.monotonic()
        _wait(system, seconds)
        after = usage_by_process(system)
        minutes = (time.monotonic() - began) / 60
    kinds: dict[str, dict[str, float]] = {}
    for pid, usage in after.items():
        kind = kinds.setdefault(usage.name, {"processes": 0, "cpu_s_per_min": 0.0, "pss_mb": 0.0})
        kind["processes"] += 1
        kind["pss_mb"] += usage.pss_mb
        kind["cpu_s_per_min"] += (usage.cpu_s - (before[pid].cpu_s if pid in before else 0.0)) / minutes
    figures = {
        name: round(sum(kind[name] for kind in kinds.values()), 2)
        for name in ("cpu_s_per_min", "pss_mb", "processes")
    }
    return {
        "bench": "idle",
        **figures,
        "who": {
            name: {key: round(value, 2) for key, value in kind.items()}
            for name, kind in sorted(kinds.items(), key=lambda item: -item[1]["cpu_s_per_min"])
        },
        "aims": _AIMS,
        "reached": all(figures[name] <= aim for name, aim in _AIMS.items()),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def print_idle(figures: Mapping[str, Any], console: Console) -> None:
    """Show the figures as a table."""
    table = Table("who", "processes", "CPU s a minute", "PSS MB")
    for name, kind in figures["who"].items():
        table.add_row(
            name, f"{kind['processes']:.0f}", f"{kind['cpu_s_per_min']:.2f}", f"{kind['pss_mb']:.0f}"
        )
    table.add_section()
    table.add_row(
        "all", str(figures["processes"]), f"{figures['cpu_s_per_min']:.2f}", f"{figures['pss_mb']:.0f}"
    )
    console.print(table)
    console.print(
        f"aims: {figures['aims']}; {figures['cores']} cores, load average {figures['load_average']}",
        style="dim",
        highlight=False,
    )


def _wait(system: System, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        system.look()
        time.sleep(1.0)


def _name(line: Sequence[str]) -> str:
    """Tell in a word or two what a process is."""
    command = " ".join(line)
    if "postgres" in (line[0] if line else ""):
        return "postgresql"
    for pattern, name in (
        ("valkey-server|redis-server", "broker"),
        (r"fits_dagster\.web (\w+)", "web"),
        ("dagster._daemon", "daemon"),
        (r"api grpc .*fits_dagster\.(\w+)", "code server"),
        ("fits_dagster worker", "worker"),
        (r"fits_dagster\.alerts", "alerts"),
        ("guarded_worker", "reader of files"),
    ):
        if found := re.search(pattern, command):
            return " ".join([name, *found.groups()])
    return "up (and this measurement)"
