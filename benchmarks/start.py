"""Starting the command line, against starting Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.figures import Figures
from benchmarks.home import bench_home
from benchmarks.rounds import take_turns, taken

__all__ = ["measure_start"]

_ROUNDS: Final = 9
_PROGRAM: Final = (sys.executable, "-c", "from fits_dagster.cli import main; main()")
_HELP_AIM, _STATUS_AIM = 0.25, 0.6


def measure_start(home: Path | None) -> list[Figures]:
    """Measure ``--help`` and ``status`` of a home whose databases run."""
    with bench_home(home) as settings:
        runs = [
            _measured("--help", (*_PROGRAM, "--help"), _HELP_AIM),
            _measured("status", (*_PROGRAM, "status", "--home", str(settings.home)), _STATUS_AIM),
        ]
    return runs


def _measured(name: str, command: Sequence[str], aim: float) -> Figures:
    def run(program: Sequence[str]) -> float:
        return taken(lambda: subprocess.run(program, check=False, capture_output=True, timeout=60))

    run(command)  # reads the modules from the disk
    rounds = take_turns(_ROUNDS, lambda: run(command), lambda: run((sys.executable, "-c", "pass")))
    return Figures(
        name=f"fits-dagster {name}",
        floor="python -c pass",
        aim=f"{name} <= {aim:g} s",
        files=1,
        bytes=0,
        seconds=rounds.seconds,
        floor_seconds=rounds.floor,
        reached=rounds.seconds <= aim,
        details=rounds.details,
    )
