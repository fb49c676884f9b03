"""Several whole systems on one machine, each with a night of files at the same time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

__all__ = ["measure_crowd", "print_crowd"]

_LOAD_AIM: Final = 2.0
_PATIENCE_S: Final = 900.0
_STOP_S: Final = 60.0


def measure_crowd(
    home: Path | None, *, systems: int = 3, files: int = 40, rest_seconds: float = 120.0
) -> dict[str, Any]:
    """Run demonstrations side by side, and look how the machine is some minutes after the last file.

    Parameters
    ----------
    systems
        Whole systems, both sites each.
    files
        Of each.
    rest_seconds
        Time between the last file's arrival and the look at the load.

    Returns
    -------
    dict
        Ready for JSON: by system, files missing and latencies; ``load_after``, the load average at the end.
    """
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="fits-dagster-bench-", dir=home, ignore_cleanup_errors=True
    ) as name:
        reports = [Path(name) / f"{number}.json" for number in range(systems)]
        outputs = [report.with_suffix(".txt").open("wb") for report in reports]
        programs = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "fits_dagster",
                    "demo",
                    "--files",
                    str(files),
                    "--home",
                    str(report.with_suffix("")),
                    "--json",
                    str(report),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            for report, output in zip(reports, outputs, strict=True)
        ]
        try:
            _wait_for(reports, programs)
            time.sleep(rest_seconds)
            load = os.getloadavg()[0]
        finally:
            for program in programs:
                program.send_signal(signal.SIGTERM)
            for program in programs:
                program.wait(_STOP_S)
            for output in outputs:
                output.close()
        figures = [json.loads(report.read_text()) for report in reports]
    return {
        "bench": "crowd",
        "systems": [
            {
                "files": each["files"],
                "missing": each["missing_count"],
                "altered": each["altered_count"],
                "preview": each["latency"]["archive_preview"],
            }
            for each in figures
        ],
        "load_after": round(load, 2),
        "aim": f"all arrive, load < {_LOAD_AIM:.0f} after {rest_seconds:.0f} s",
        "reached": load < _LOAD_AIM
        and not any(each["missing_count"] or each["altered_count"] for each in figures),
        "cores": os.cpu_count(),
    }


def _wait_for(reports: list[Path], programs: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while missing := [report for report in reports if not report.exists()]:
        said = missing[0].with_suffix(".txt").read_text(errors="replace").strip()[-2000:]
        if any(program.poll() is not None for program in programs):
            raise RuntimeError(f"a demonstration ended before its report:\n{said}")
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"{len(missing)} did not end within {_PATIENCE_S:.0f} s; the first said:\n{said}"
            )
        time.sleep(0.5)


def print_crowd(figures: Mapping[str, Any], console: Console) -> None:
    """Show the figures as a table."""
    table = Table("system", "files", "missing", "median s", "p95 s")
    for number, each in enumerate(figures["systems"], 1):
        preview = each["preview"]
        cells = (str(each["files"]), str(each["missing"]), str(preview["median_s"]), str(preview["p95_s"]))
        table.add_row(str(number), *cells)
    console.print(table)
    console.print(f"load {figures['load_after']} ({figures['aim']})", style="dim", highlight=False)
