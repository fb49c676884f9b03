"""The figures at the end of a demonstration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from fits_dagster.demo.feed import FedFile
from fits_dagster.demo.watch import Failure, Watcher
from fits_dagster.fits.names import trimmed
from fits_dagster.ledger.stage import Stage

__all__ = ["DemoReport", "Latency", "make_report", "print_report"]


@dataclass(frozen=True)
class Latency:
    """Seconds from the last byte on the DHS to a step."""

    median_s: float | None
    p95_s: float | None
    max_s: float | None


@dataclass(frozen=True)
class DemoReport:
    """What arrived, whether it is unaltered, and how long it took."""

    files: int
    bytes: int
    dhs: int
    #: What the stages declare, in the order in which a file meets them.
    figures: dict[str, int]
    associations: int
    files_with_associations: int
    md5_equal: int
    missing: Sequence[str]
    altered: Sequence[str]
    refused: Sequence[Failure]
    latency: dict[str, Latency]
    seconds: float
    timed_out: bool

    @property
    def is_good(self) -> bool:
        """Whether every file that is in order arrived, unaltered."""
        return not self.missing and not self.altered and not self.timed_out

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        values = asdict(self)
        figures = values.pop("figures")
        return {**values, **figures, "missing_count": len(self.missing), "altered_count": len(self.altered)}


def make_report(
    names: Sequence[str],
    fed: dict[str, FedFile],
    watcher: Watcher,
    *,
    seconds: float,
    timed_out: bool,
) -> DemoReport:
    """Compare what was fed with what the archive holds."""
    archived = watcher.archived()
    refused = [f for f in watcher.failures if trimmed(f.filename) in names]
    stuck = {trimmed(f.filename) for f in refused}
    complete = {name for name in names if name in archived and watcher.has_arrived(name)}
    altered = [n for n in names if n in archived and n in fed and archived[n] != (fed[n].md5, fed[n].size)]
    associations, with_associations = watcher.associations(watcher.archive)
    return DemoReport(
        files=len(names),
        bytes=sum(file.size for file in fed.values()),
        dhs=len(fed),
        figures=_figures(watcher),
        associations=associations,
        files_with_associations=with_associations,
        md5_equal=sum(n in archived and n in fed and archived[n][0] == fed[n].md5 for n in names),
        missing=sorted(set(names) - complete - stuck),
        altered=altered,
        refused=refused,
        latency={
            _name(site, stage): _latency((site, stage.name), fed, watcher)
            for (site, _), stage in watcher.steps.items()
        },
        seconds=round(seconds, 1),
        timed_out=timed_out,
    )


def _figures(watcher: Watcher) -> dict[str, int]:
    """Count what has passed each step, as its stage declares; sites of one kind are counted together."""
    found: Counter[str] = Counter()
    for step, stage in watcher.steps.items():
        outcomes = [j.outcome[step] for j in watcher.journeys.values() if step in j.outcome]
        for figure, counting in (stage.figures or {f"{{site}}_{stage.asset}": ()}).items():
            found[figure.format(site=step[0])] += sum(not counting or each in counting for each in outcomes)
    return dict(found)


def _name(site: str, stage: Stage[Any]) -> str:
    """Return the name of a step: that of its figure if there is one for each site."""
    own = (figure for figure in stage.figures if "{site}" in figure)
    return next(own, f"{{site}}_{stage.name}").format(site=site)


def _latency(step: tuple[str, str], fed: dict[str, FedFile], watcher: Watcher) -> Latency:
    taken = [
        watcher.journeys[name].passed[step].timestamp() - file.completed
        for name, file in fed.items()
        if name in watcher.journeys and step in watcher.journeys[name].passed
    ]
    if not taken:
        return Latency(None, None, None)
    median, p95, longest = (round(float(v), 2) for v in np.percentile(taken, [50, 95, 100]))
    return Latency(median, p95, longest)


def print_report(report: DemoReport, console: Console) -> None:
    """Show the figures."""
    table = Table(title="From the DHS to the archive", title_justify="left", show_header=False)
    table.add_row("files fed into the DHS directory", f"{report.dhs} of {report.files}")
    for name, count in report.figures.items():
        table.add_row(name.replace("_", " "), str(count))
    table.add_row(
        "calibration associations",
        f"{report.associations} for {report.files_with_associations} files",
    )
    table.add_row("bytes", f"{report.bytes / 1e6:.1f} MB")
    table.add_row("MD5 equal at source and archive", f"{report.md5_equal} of {report.files}")
    table.add_row("missing", _count(len(report.missing)))
    table.add_row("altered", _count(len(report.altered)))
    table.add_row("failures", _count(len(report.refused)))
    console.print(table)
    latency = Table("latency from complete on the DHS to", "median", "p95", "max")
    for name, value in report.latency.items():
        latency.add_row(name.replace("_", " "), *(_s(v) for v in (value.median_s, value.p95_s, value.max_s)))
    console.print(latency)
    for failure in report.refused:
        console.print(
            f"[red]{failure.filename}[/]: {failure.site} {failure.stage}: {failure.reason}: ",
            end="",
            highlight=False,
        )
        console.print(failure.error, markup=False, highlight=False)
    for kind, names in (("missing", report.missing), ("altered", report.altered)):
        if names:
            console.print(f"[red]{kind}[/]: {', '.join(names[:20])}{' …' if len(names) > 20 else ''}")
    if report.timed_out:
        console.print("[red]gave up: nothing moved for too long[/]")


def _count(number: int) -> str:
    return f"[red]{number}[/]" if number else "[green]0[/]"


def _s(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
