"""Memory of a worker and of its readers of files, over thousands of them."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
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
from fits_dagster.settings import Settings
from fits_dagster.stages.registry import all_stages

__all__ = ["measure_memory"]

_AIM_MB: Final = 150.0
_GROWTH_AIM: Final = 1.1
_SOURCES: Final = 20


def measure_memory(home: Path | None, *, files: int = 5000) -> list[Figures]:
    """Ingest and draw files with one worker, and look at the memory that is its own (USS) all the while.

    The floor is what it has after a tenth of them.
    """
    with bench_home(home) as settings, bench_site(settings, "archive") as site:
        assert site.settings.store_directory is not None
        sources = small_night(settings.home / "sources", _SOURCES, "20251101")
        names = [f"N{20251102 + number // 1000}S{number % 1000 + 1:04d}.fits" for number in range(files)]
        for number, name in enumerate(names):
            os.link(sources[number % len(sources)], site.settings.store_directory / name)
        with site.engine.begin() as connection:
            add_work(connection, (NewWork(stage="ingest", filename=name, no_defer=True) for name in names))
        return [_measured(settings, stage, files) for stage in ("ingest", "preview")]


def _measured(settings: Settings, stage: str, files: int) -> Figures:
    # in a process that has nothing but the work
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=_worker, args=(settings, stage, files // 20, theirs))
    worker.start()
    theirs.close()
    looks, seconds = ours.recv()
    worker.join()
    settled = next(memory for done, memory in looks if done >= files // 10)
    last = looks[-1][1]
    return Figures(
        name=f"memory of a worker at {stage}",
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


def _worker(settings: Settings, name: str, every: int, end: Connection[Any, Any]) -> None:
    looks: list[tuple[int, float]] = []

    def look(report: DrainReport) -> None:
        if not looks or report.done - looks[-1][0] >= every:
            looks.append((report.done, _own_memory()))

    with bench_site(settings, "archive") as opened:
        site = with_workers(opened, 1)
        stage = all_stages()[name]
        stage.begin()
        seconds = taken(lambda: drain(site, stage, on_round=look))
        stage.end()
    end.send((looks, seconds))


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
