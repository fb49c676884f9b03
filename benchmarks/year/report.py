"""The figures of a year: a table for people, an object for programs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.year.meters import Stretch
from benchmarks.year.options import Year

__all__ = ["as_object", "print_year"]

_SHOWN: Final = 20
#: Rows of nights of which everything is shown: the first, the last, and some between.
_MOST_COLUMNS: Final = 4


def as_object(year: Year) -> dict[str, Any]:
    """Write a year for programs."""
    options, verdict = year.options, year.verdict
    return {
        "bench": "year",
        "nights": options.nights,
        "nights_given": sum(each.nights for each in year.stretches),
        "files_per_night": options.files_per_night,
        "speed": options.speed,
        "seed": options.seed,
        "chances": asdict(options.chances),
        "first_night": f"{options.first_night:%Y%m%d}",
        "good": year.is_good,
        "interrupted": year.interrupted,
        "timed_out": year.timed_out,
        "seconds": round(year.seconds, 1),
        "clock_waited_s": round(year.waited_s, 1),
        "files": verdict.files,
        "md5_equal": verdict.equal,
        "edited_and_else_equal": verdict.edited,
        **{
            name: getattr(verdict, name)
            for name in ("missing", "altered", "failed", "not_failed", "failed_whole", "stuck")
        },
        "deeds": dict(sorted(year.deeds.items())),
        "findings": year.findings,
        "rows": [each.as_dict() for each in year.stretches],
        "last_to_first": _growth(year.stretches),
        "bytes_per_1000_files": _bytes_per_1000(year.stretches),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def print_year(year: Year, console: Console) -> None:
    """Show a year as tables."""
    _print_verdict(year, console)
    stretches = year.stretches
    table = Table(
        "from",
        "nights",
        "files",
        "s a file",
        "CPU ms a file",
        "memory MB",
        "processes",
        "Dagster runs",
        "its events",
    )
    for each in stretches:
        table.add_row(
            each.first,
            str(each.nights),
            f"{each.files:,}",
            f"{each.seconds_per_file:.3f}",
            f"{each.processor_per_file * 1e3:.0f}",
            f"{each.memory_sum:.0f}",
            f"{each.processes}",
            f"{each.rows.get('runs', 0):,}",
            f"{each.rows.get('event_logs', 0):,}",
        )
    console.print(table)
    _print_kinds("CPU ms a file", stretches, console, lambda s: _per_file(s.processor, s), "{:.1f}")
    _print_kinds("largest process, MB", stretches, console, lambda s: s.memory, "{:.0f}")
    _print_kinds("ms of a stage a file", stretches, console, lambda s: _in_ms(s.stages), "{:.0f}")
    _print_kinds("times a stage was done, a file", stretches, console, _times, "{:.2f}")
    _print_kinds("s each morning", stretches, console, lambda s: s.upkeep, "{:.2f}")
    _print_kinds("MB at the end", stretches, console, lambda s: _in_mb(s.bytes), "{:.1f}")
    sizes = ", ".join(f"{what} {value / 1e6:.1f}" for what, value in _bytes_per_1000(stretches).items())
    console.print(f"MB for 1 000 files: {sizes}", highlight=False)
    growth = ", ".join(f"{what} {value:.2f}" for what, value in _growth(stretches).items())
    console.print(f"last row as multiples of the second: {growth}", highlight=False)
    console.print(
        f"seed {year.options.seed}, {year.seconds:.0f} s, of which the clock waited {year.waited_s:.0f} s; "
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}",
        style="dim",
        highlight=False,
    )


def _print_verdict(year: Year, console: Console) -> None:
    verdict = year.verdict
    table = Table(title="A year of nights", title_justify="left", show_header=False)
    table.add_row("nights", str(sum(each.nights for each in year.stretches)))
    given = sum(each.files for each in year.stretches)
    table.add_row("files given", f"{given:,}")
    if not year.interrupted:
        table.add_row("at the archive, MD5 equal", f"{verdict.equal:,}")
        table.add_row("at the archive, headers edited and else equal", f"{verdict.edited:,}")
        table.add_row("broken, and failed with their reasons", f"{len(verdict.failed):,}")
        for what in ("missing", "altered", "stuck", "not_failed", "failed_whole"):
            count = len(getattr(verdict, what))
            table.add_row(_WORDS[what], f"[red]{count}[/]" if count else "[green]0[/]")
    for deed, count in sorted(year.deeds.items()):
        table.add_row(deed, f"{count:,}")
    console.print(table)
    for reason, count in sorted(Counter(verdict.failed.values()).items()):
        console.print(f"failed: {count} {reason}", highlight=False)
    for what in ("missing", "altered", "stuck", "not_failed", "failed_whole"):
        found = getattr(verdict, what)
        named = [f"{k}: {v}" for k, v in found.items()] if isinstance(found, dict) else found
        for line in named[:_SHOWN]:
            console.print(f"[red]{_WORDS[what]}[/]: ", line, highlight=False)
    for line in year.findings[:_SHOWN]:
        console.print("[red]found[/]: ", line, highlight=False)
    if year.interrupted:
        console.print("[yellow]ended early: nothing was compared[/]")


_WORDS: Final = {
    "missing": "missing",
    "altered": "altered",
    "stuck": "neither done nor failed",
    "not_failed": "broken, and not failed",
    "failed_whole": "whole, and failed",
}


def _print_kinds(
    title: str,
    stretches: Sequence[Stretch],
    console: Console,
    values: Any,
    shape: str,
) -> None:
    """Show one figure of each kind of thing for some rows of nights; what is always nothing is left out."""
    most = min(_MOST_COLUMNS, len(stretches))
    stretches = [stretches[round(n * (len(stretches) - 1) / max(1, most - 1))] for n in range(most)]
    rows: list[Mapping[str, float]] = [values(each) for each in stretches]
    kinds = [kind for kind in dict.fromkeys(k for row in rows for k in row) if any(r.get(kind) for r in rows)]
    if not kinds:
        return
    table = Table(title, *(each.first for each in stretches))
    for kind in kinds:
        table.add_row(kind, *(shape.format(row[kind]) if kind in row else "-" for row in rows))
    console.print(table)


def _per_file(values: Mapping[str, float], stretch: Stretch) -> Mapping[str, float]:
    return {kind: value / max(1, stretch.files) * 1e3 for kind, value in values.items()}


def _times(stretch: Stretch) -> Mapping[str, float]:
    return {stage: number / max(1, stretch.files) for stage, number in stretch.done.items()}


def _in_ms(values: Mapping[str, float]) -> Mapping[str, float]:
    return {kind: value * 1e3 for kind, value in values.items()}


def _in_mb(values: Mapping[str, float]) -> Mapping[str, float]:
    return {kind: value / 1e6 for kind, value in values.items()}


def _growth(stretches: Sequence[Stretch]) -> dict[str, float]:
    """Return figures of the last whole row as multiples of the second's: the first warms up."""
    whole = [each for each in stretches if each.nights == stretches[0].nights] if stretches else []
    if len(whole) < 2:
        return {}
    first, last = whole[1 if len(whole) > 2 else 0], whole[-1]
    pairs = {
        "seconds a file": (first.seconds_per_file, last.seconds_per_file),
        "processor a file": (first.processor_per_file, last.processor_per_file),
        "memory": (first.memory_sum, last.memory_sum),
        "Dagster's runs": (first.rows.get("runs", 0), last.rows.get("runs", 0)),
    }
    return {what: round(b / a, 3) for what, (a, b) in pairs.items() if a}


def _bytes_per_1000(stretches: Sequence[Stretch]) -> dict[str, int]:
    """Return by what each thousand files databases and home have grown from the first row to the last."""
    if len(stretches) < 2:
        return {}
    files = sum(each.files for each in stretches[1:])
    first, last = stretches[0].bytes, stretches[-1].bytes
    return {what: round((size - first.get(what, 0)) / files * 1000) for what, size in last.items()}
