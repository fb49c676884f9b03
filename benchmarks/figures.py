"""What a measurement gives."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["Figures", "as_object", "print_figures"]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One stage against its floor, for one set of files.

    The floor is the same files' unavoidable work, done in the plainest way, one file after the other.
    """

    #: What was measured, with its conditions.
    name: str
    #: What the floor does.
    floor: str
    #: What the figures ought to be.
    aim: str
    files: int
    bytes: int
    #: Wall clock time of the stage for all files.
    seconds: float
    #: Wall clock time of the floor for all files.
    floor_seconds: float
    workers: int = 1
    #: Whether the aim was reached; None where no single number tells.
    reached: bool | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files_per_s(self) -> float:
        """Files in a second of wall clock time."""
        return self.files / self.seconds

    @property
    def mb_per_s(self) -> float:
        """Megabytes (10**6) in a second of wall clock time."""
        return self.bytes / 1e6 / self.seconds

    @property
    def ms_per_file(self) -> float:
        """Milliseconds of wall clock time for a file."""
        return self.seconds / self.files * 1e3

    @property
    def floor_ms_per_file(self) -> float:
        """The same of the floor."""
        return self.floor_seconds / self.files * 1e3

    @property
    def ratio(self) -> float:
        """Time of the stage as a multiple of the floor."""
        return self.seconds / self.floor_seconds

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        return {
            "name": self.name,
            "files": self.files,
            "bytes": self.bytes,
            "workers": self.workers,
            "seconds": round(self.seconds, 4),
            "files_per_s": _rounded(self.files_per_s),
            "mb_per_s": _rounded(self.mb_per_s),
            "ms_per_file": _rounded(self.ms_per_file),
            "floor_ms_per_file": _rounded(self.floor_ms_per_file),
            "ratio": round(self.ratio, 3),
            "floor": self.floor,
            "aim": self.aim,
            "reached": self.reached,
            **self.details,
        }


def as_object(bench: str, runs: Sequence[Figures]) -> dict[str, Any]:
    """Write all runs of a measurement as one object: the first's figures, and all of them in ``runs``."""
    machine = {"cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 2)}
    return {"bench": bench, **runs[0].as_dict(), **machine, "runs": [run.as_dict() for run in runs]}


def print_figures(runs: Sequence[Figures], console: Console) -> None:
    """Show the figures as a table."""
    table = Table("measured", "files", "workers", "files/s", "MB/s", "ms/file", "floor", "ratio")
    for run in runs:
        colour = {True: "green", False: "red", None: "default"}[run.reached]
        table.add_row(
            run.name,
            str(run.files),
            str(run.workers),
            f"{run.files_per_s:,.1f}",
            f"{run.mb_per_s:,.1f}",
            f"{run.ms_per_file:,.3g}",
            f"{run.floor_ms_per_file:,.3g}",
            f"[{colour}]{run.ratio:.2f}[/]",
        )
    console.print(table)
    notes = [f"floor: {run.floor}" for run in runs] + [f"aim: {run.aim}" for run in runs]
    notes += [
        f"{run.name}, workers {run.workers}: " + ", ".join(f"{key} {v}" for key, v in run.details.items())
        for run in runs
        if run.details
    ]
    notes.append(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    for note in dict.fromkeys(notes):
        console.print(note, style="dim", highlight=False)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
