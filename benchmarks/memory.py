"""Memory of a worker and of its readers of files, over thousands of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, with_workers
from benchmarks.rounds import taken
from benchmarks.small import small_night
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.sites import Site
from fits_dagster.stages.ingest import STAGE as INGEST
from fits_dagster.stages.preview import STAGE as PREVIEW

__all__ = ["measure_memory"]

_AIM_MB: Final = 150.0
_GROWTH_AIM: Final = 1.1
_SOURCES: Final = 20


def measure_memory(home: Path | None, *, files: int = 5000) -> list[Figures]:
    """Ingest and draw files with one worker, and look at the memory that is its own (USS) all the while.

    The floor is what it has after a tenth of them.
    """
    with bench_home(home) as settings, bench_site(settings, "archive") as opened:
        site = with_workers(opened, 1)
        assert site.settings.store_directory is not None
        sources = small_night(settings.home / "sources", _SOURCES, "20251101")
        names = [f"N{20251102 + number // 1000}S{number % 1000 + 1:04d}.fits" for number in range(files)]
        for number, name in enumerate(names):
            os.link(sources[number % len(sources)], site.settings.store_directory / name)
        with site.engine.begin() as connection:
            add_work(connection, (NewWork(stage="ingest", filename=name, no_defer=True) for name in names))
        runs = [_measured(site, stage, files) for stage in (INGEST, PREVIEW)]
    return runs


def _measured(site: Site, stage: Any, files: int) -> Figures:
    looks: list[tuple[int, float]] = []

    def look(report: DrainReport) -> None:
        if not looks or report.done - looks[-1][0] >= files // 20:
            looks.append((report.done, _own_memory()))

    stage.begin()
    seconds = taken(lambda: drain(site, stage, on_round=look))
    stage.end()
    settled = next(memory for done, memory in looks if done >= files // 10)
    last = looks[-1][1]
    return Figures(
        name=f"memory of {stage.name}",
        floor="after a tenth of the files (the ratio is that of memory)",
        aim=f"<= {_AIM_MB:.0f} MB with its reader of files, and flat",
        files=files,
        bytes=0,
        seconds=last / settled,
        floor_seconds=1.0,
        reached=max(memory for _, memory in looks) <= _AIM_MB and last / settled <= _GROWTH_AIM,
        details={
            "mb_after_a_tenth": round(settled, 1),
            "mb_at_the_end": round(last, 1),
            "mb_at_most": round(max(memory for _, memory in looks), 1),
            "work_seconds": round(seconds, 1),
        },
    )


def _own_memory() -> float:
    """Return the memory that only this process and its children have, MB."""
    me = psutil.Process()
    total = 0
    for process in (me, *me.children(recursive=True)):
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total / 1e6
