"""All stages beside their floors: the table of ``docs/performance.md``."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.calibrations import measure_calibrations
from benchmarks.figures import Figures, as_object
from benchmarks.header_export import measure_header_export
from benchmarks.headers import measure_describe
from benchmarks.ingest import measure_ingest
from benchmarks.ledger import measure_ledger
from benchmarks.load import measure_load
from benchmarks.memory import measure_memory
from benchmarks.objects import measure_objects
from benchmarks.previews import measure_previews
from benchmarks.rescan import measure_reingest
from benchmarks.small import measure_small_files
from benchmarks.start import measure_start
from benchmarks.transfer import measure_copy, measure_export

__all__ = ["as_markdown", "measure_all", "write_table"]

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
_BEGIN, _END = "<!-- begin of the table -->", "<!-- end of the table -->"

_BENCHES: Final[Mapping[str, Callable[[Path | None], Sequence[Figures]]]] = {
    "reingest": measure_reingest,
    "ingest": measure_ingest,
    "small": measure_small_files,
    "describe": lambda home: measure_describe(),
    "preview": measure_previews,
    "copy": measure_copy,
    "export": measure_export,
    "header-export": lambda home: measure_header_export(home, workers=(1,)),
    "objects": measure_objects,
    "load": measure_load,
    "calibrations": lambda home: measure_calibrations(home, rows=(10_000, 1_000_000)),
    "ledger": measure_ledger,
    "start": measure_start,
    "memory": measure_memory,
}
#: Details that say more than the time of a file, with what is written for them.
_TOLD: Final[Mapping[str, str]] = {
    "rescan_seconds": "{} s in all",
    "processor_ms_per_file": "{} ms of processor",
    "times_the_first_rate": "{} x the first rate",
    "share_of_floor_speed": "{} of its speed",
    "sent_bytes": "{} bytes sent",
    "mb_at_the_end": "{} MB at the end",
    "mb_at_most": "{} MB at most",
}


def measure_all(
    home: Path | None, *, only: Sequence[str] = (), tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Run every measurement, one after the other.

    Parameters
    ----------
    only
        Names of benches; none: all.
    tell
        Called with a line as each begins.

    Raises
    ------
    ValueError
        There is no bench of a name.
    """
    if unknown := set(only) - set(_BENCHES):
        raise ValueError(f"no bench {', '.join(sorted(unknown))}: there are {', '.join(_BENCHES)}")
    began = time.monotonic()
    benches = {}
    for name, measure in _BENCHES.items():
        if only and name not in only:
            continue
        tell(f"{time.monotonic() - began:4.0f} s  {name}")
        benches[name] = as_object(name, measure(home))
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "seconds": round(time.monotonic() - began),
        "benches": benches,
    }


def as_markdown(found: Mapping[str, Any]) -> str:
    """Write what was measured as a table."""
    lines = [
        "| bench | work | workers | measured | floor | ratio, of all rounds | aim | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, bench in found["benches"].items():
        lines += [_line(name, run) for run in bench["runs"]]
    loads = [bench["load_average"] for bench in found["benches"].values()]
    load = f"load average {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    return "\n".join([*lines, "", f"{found['machine']}; {found['seconds']} s in all; {load}."])


def write_table(found: Mapping[str, Any]) -> None:
    """Put the table into the page, between its marks."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{as_markdown(found)}\n\n{_END}{after}")


def _line(bench: str, run: Mapping[str, Any]) -> str:
    told = [text.format(run[key]) for key, text in _TOLD.items() if key in run]
    is_memory = bench == "memory"
    measured = ", ".join(told if is_memory else [_time(run["ms_per_file"]), *told])
    floor = "" if is_memory else f"{_time(run['floor_ms_per_file'])}: "
    spread = f" ({run['ratios']})" if "ratios" in run else ""
    reached = {True: "yes", False: "**no**", None: ""}[run["reached"]]
    cells = (bench, run["name"], run["workers"], measured, f"{floor}{run['floor']}")
    return f"| {' | '.join(map(str, cells))} | {run['ratio']:.2f}{spread} | {run['aim']} | {reached} |"


def _time(milliseconds: float) -> str:
    if milliseconds < 1:
        return f"{milliseconds * 1e3:.3g} µs"
    return f"{milliseconds:.3g} ms" if milliseconds < 1000 else f"{milliseconds / 1e3:.3g} s"
