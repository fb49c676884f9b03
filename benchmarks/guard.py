"""Whether a stage has become slower: its ratio to the floor, beside the one that was kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figures
from benchmarks.headers import measure_describe
from benchmarks.ingest import measure_ingest
from benchmarks.ledger import measure_ledger
from benchmarks.previews import measure_previews
from benchmarks.rescan import measure_reingest
from benchmarks.small import measure_small_files
from benchmarks.transfer import measure_copy

__all__ = ["Compared", "keep", "measure_guard", "print_guard"]

KEPT: Final = Path(__file__).with_name("guard.json")
_WORSE: Final = 1.5
#: Their floor is so short that the ratio is chance.
_LEFT_OUT: Final = frozenset({"preview IFU, a cube of 29 MB"})

#: Short forms of the measurements of the main stages.
_BENCHES: Final[Sequence[Callable[[Path | None], Sequence[Figures]]]] = (
    lambda home: measure_describe(rounds=12),
    lambda home: measure_reingest(home, files=1000, files_per_night=100),
    lambda home: measure_ingest(home, files=4, megabytes=15.0, workers=(1,), rounds=3),
    lambda home: measure_small_files(home, files=20, rounds=3),
    lambda home: measure_previews(home, files=3, rounds=3),
    lambda home: measure_copy(home, files=3, megabytes=15.0, workers=(1,)),
    lambda home: measure_ledger(home, items=2000, workers=2, rounds=3),
)


@dataclass(frozen=True)
class Compared:
    """The ratio of one measurement, now and as it was kept (None: it was not)."""

    name: str
    ratio: float
    kept: float | None

    @property
    def is_worse(self) -> bool:
        """Whether it is so much worse that it is no chance."""
        return self.kept is not None and self.ratio > _WORSE * self.kept

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        return {"name": self.name, "ratio": self.ratio, "kept": self.kept, "worse": self.is_worse}


def measure_guard(home: Path | None) -> Sequence[Compared]:
    """Measure the main stages shortly; once more where one seems worse, for it may have been the machine."""
    kept: dict[str, float] = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    found: list[Compared] = []
    for bench in _BENCHES:
        compared = _compared(bench(home), kept)
        if any(one.is_worse for one in compared):
            again = _compared(bench(home), kept)
            compared = [min(pair, key=lambda one: one.ratio) for pair in zip(compared, again, strict=True)]
        found += compared
    return found


def _compared(runs: Sequence[Figures], kept: Mapping[str, float]) -> list[Compared]:
    return [
        Compared(run.name, round(run.ratio, 2), kept.get(run.name))
        for run in runs
        if run.name not in _LEFT_OUT
    ]


def keep(found: Sequence[Compared]) -> None:
    """Keep ratios as those to compare with."""
    KEPT.write_text(json.dumps({one.name: one.ratio for one in found}, indent=1) + "\n")


def print_guard(found: Sequence[Compared], console: Console) -> None:
    """Show the ratios as a table."""
    table = Table("measured", "ratio", "kept")
    for one in found:
        colour = "red" if one.is_worse else "default"
        table.add_row(
            one.name, f"[{colour}]{one.ratio:.2f}[/]", "-" if one.kept is None else f"{one.kept:.2f}"
        )
    console.print(table)
    for one in found:
        if one.is_worse:
            console.print(
                f"{one.name}: {one.ratio:.2f} times its floor, {one.kept:.2f} before", highlight=False
            )
