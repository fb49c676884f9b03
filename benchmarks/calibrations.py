"""Calibration association of a night's files, in archives of several sizes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from sqlalchemy import Connection, text

from benchmarks.archive import LargeArchive, fill_archive
from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site
from fits_dagster.calibration import associate_headers, index_headers
from fits_dagster.calibration.associate import replace_statement
from fits_dagster.calibration.concerned import arrival_statement
from fits_dagster.calibration.processing_tags import affected_statement

__all__ = ["measure_calibrations"]

_AIM_MS: Final = 0.05
_GROWTH_AIM: Final = 1.5
_LARGE: Final = 1_000_000
#: Nights that are measured, and times that each is: the rest of the machine does not stand still.
_NIGHTS: Final = 9
_ROUNDS: Final = 4
_DAY_SECONDS: Final = 86_400

_FLOOR = "the same rows are written to the cache from a table in memory"
_AIM = (
    f"at most {_AIM_MS} ms per file at {_LARGE:,} headers, and {_GROWTH_AIM} times the time of the smallest"
)

_FORGET = text("delete from calibration_answer where header_id = any(:ids)")
_KEEP = text("create temporary table kept as select * from calibration_answer where header_id = any(:ids)")
_WRITE = text("insert into calibration_answer select * from kept")
_OFFERS = text("select header_id, query, secs from calibration_offer where header_id = any(:ids) limit 20")
_COUNT = text("select sum(cardinality(cal_hids)) from calibration_answer where header_id = any(:ids)")


@dataclass(frozen=True)
class _Taken:
    """Time of one action."""

    seconds: float
    #: Of the processor, in this process and in the server's.
    processor: float


class _Bench:
    """Actions on the files of one night, each in a transaction of its own."""

    def __init__(self, connection: Connection, night: Sequence[int]) -> None:
        self.connection = connection
        self.ids = list(night)
        server = connection.scalar(text("select pg_backend_pid()"))
        self._processes = [psutil.Process(server), psutil.Process(os.getpid())]

    def associate(self) -> _Taken:
        """Associate files that were ingested a moment ago."""
        self._run(_FORGET)
        self.connection.commit()
        return self._timed(lambda: associate_headers(self.connection, self.ids))

    def associate_again(self) -> _Taken:
        """Associate them once more: nothing has changed."""
        return self._timed(lambda: associate_headers(self.connection, self.ids))

    def write(self) -> _Taken:
        """Write what was found, and nothing else."""
        self._run(_KEEP)
        self._run(_FORGET)
        self.connection.commit()
        taken = self._timed(lambda: self.connection.execute(_WRITE))
        self.connection.execute(text("drop table kept"))
        self.connection.commit()
        return taken

    def index(self) -> _Taken:
        """Write their match keys, as ingest does file by file."""
        return self._timed(lambda: index_headers(self.connection, self.ids))

    def found(self) -> int:
        """Count the calibrations found."""
        return int(self.connection.scalar(_COUNT, {"ids": self.ids}) or 0)

    def sequential_scans(self) -> list[str]:
        """Return the lines of the plans that read a whole table, of answers and of who is concerned."""
        offers = self.connection.execute(_OFFERS, {"ids": self.ids}).all()
        reaches = {
            "offering": [offer.header_id for offer in offers],
            "queries": [offer.query for offer in offers],
            "firsts": [offer.secs - _DAY_SECONDS for offer in offers],
            "lasts": [offer.secs + _DAY_SECONDS for offer in offers],
        }
        tag = {
            **{"tag": "reduced", "raw": 1, "raw_changes": True, "others_change": True},
            "queries": reaches["queries"],
            "befores": [-_DAY_SECONDS] * len(offers),
            "afters": [_DAY_SECONDS] * len(offers),
        }
        plans = [
            self.connection.scalars(text(f"explain {statement}"), values).all()
            for statement, values in (
                (replace_statement(), {"ids": self.ids, "replaced": self.ids}),
                (arrival_statement(), reaches),
                (affected_statement(), tag),
            )
        ]
        # the queue of work is empty here
        lines = (line.strip() for plan in plans for line in plan)
        return [line for line in lines if "Seq Scan" in line and "work_item" not in line]

    def _run(self, statement: Any) -> None:
        self.connection.execute(statement, {"ids": self.ids})

    def _timed(self, action: Callable[[], object]) -> _Taken:
        before = self._processor()
        began = time.perf_counter()
        action()
        self.connection.commit()
        return _Taken(time.perf_counter() - began, self._processor() - before)

    def _processor(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)


@dataclass
class _Size:
    """An archive of one size, and what was measured in it."""

    archive: LargeArchive
    filled: float
    connection: Connection
    taken: dict[str, list[_Taken]] = field(default_factory=dict)
    found: list[int] = field(default_factory=list)

    def measure(self, night: int) -> None:
        """Measure a night, counted from the last: the least time of several counts."""
        bench = _Bench(self.connection, self.archive.night(night))
        taken: dict[str, list[_Taken]] = {}
        for _ in range(_ROUNDS):
            for action in (bench.index, bench.associate, bench.associate_again, bench.write):
                taken.setdefault(action.__name__, []).append(action())
        for name, each in taken.items():
            self.taken.setdefault(name, []).append(min(each, key=lambda one: one.seconds))
        self.found.append(bench.found())

    def seconds(self, action: str) -> float:
        """Return the median over the nights of the time of an action."""
        return statistics.median(one.seconds for one in self.taken[action])


def measure_calibrations(home: Path | None, *, rows: Sequence[int]) -> list[Figures]:
    """Measure the association of all types of a night's files, in an archive of each size.

    Parameters
    ----------
    rows
        Sizes of the archive, in headers of all instruments; a night has the same number of files in each.
    """
    with ExitStack() as stack:
        sizes = [_fill(stack, home, each) for each in sorted(set(rows))]
        # in turns, so that whatever else the machine does meets all sizes
        for night in range(_NIGHTS):
            for size in sizes:
                size.measure(night)
        return [_figures(size, sizes[0]) for size in sizes]


def _fill(stack: ExitStack, home: Path | None, rows: int) -> _Size:
    settings = stack.enter_context(bench_home(home))
    site = stack.enter_context(bench_site(settings, "archive"))
    began = time.perf_counter()
    archive = fill_archive(site.engine, rows)
    filled = time.perf_counter() - began
    return _Size(archive, filled, stack.enter_context(site.engine.connect()))


def _figures(size: _Size, least: _Size) -> Figures:
    bench = _Bench(size.connection, size.archive.night(1))
    files, seconds = len(bench.ids), size.seconds("associate")
    growth = seconds / least.seconds("associate")
    scans = bench.sequential_scans()
    is_fast = size.archive.headers < _LARGE or seconds / files <= _AIM_MS / 1e3
    return Figures(
        name=f"associate, {size.archive.headers:,} headers",
        floor=_FLOOR,
        aim=_AIM,
        files=files,
        bytes=0,
        seconds=seconds,
        floor_seconds=size.seconds("write"),
        reached=is_fast and growth <= _GROWTH_AIM and not scans,
        details={
            "growth": round(growth, 2),
            "processor_ms_per_file": _ms(
                statistics.median(one.processor for one in size.taken["associate"]), files
            ),
            "unchanged_ms_per_file": _ms(size.seconds("associate_again"), files),
            "index_ms_per_file": _ms(size.seconds("index"), files),
            "calibrations_per_file": round(statistics.mean(size.found) / files, 1),
            "sequential_scans": scans,
            **asdict(size.archive),
            "filled_s": round(size.filled, 1),
            "load_average": round(os.getloadavg()[0], 2),
        },
    )


def _ms(seconds: float, files: int) -> float:
    return round(seconds / files * 1e3, 3)
