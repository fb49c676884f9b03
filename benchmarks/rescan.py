"""Looks at files that have not changed: nothing is opened, nothing is done per file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site
from benchmarks.rounds import Rounds, take_turns
from benchmarks.samples import niri_sample
from fits_dagster.records.tables import diskfile, file
from fits_dagster.requeue.chosen_names import DAY_WORDS, name_matcher
from fits_dagster.requeue.rescan import rescan
from fits_dagster.sites import Site

__all__ = ["measure_reingest"]

_FILES_AIM: Final = 80_000.0
_SECONDS_AIM: Final = 0.3
_FILE_BYTES: Final = 5760
_ROUNDS: Final = 7
_DAYS: Final = "twentyday"


def measure_reingest(home: Path | None, *, files: int = 2000, files_per_night: int = 1000) -> list[Figures]:
    """Measure the rescan of a directory that holds one night, and of the last twenty nights in one of forty.

    Parameters
    ----------
    files
        Files of the one night.
    files_per_night
        Files of each of the forty.
    """
    today = datetime.now(UTC)
    nights = [today - timedelta(days=back) for back in range(2 * DAY_WORDS[_DAYS])]
    one = _measured(home, [today], files, lambda name: True)
    twenty = _measured(home, nights, files_per_night, name_matcher(_DAYS, today))
    return [
        one.figures(
            "null re-ingest of a night",
            aim=f">= {_FILES_AIM:,.0f} files/s",
            reached=one.looked_at / one.rounds.seconds >= _FILES_AIM,
        ),
        twenty.figures(
            f"rescan of {_DAYS}",
            aim=f"<= {_SECONDS_AIM:g} s for 20 nights of 1000 files",
            reached=twenty.rounds.seconds <= _SECONDS_AIM,
            rescan_seconds=round(twenty.rounds.seconds, 3),
            files_in_the_directory=len(nights) * files_per_night,
        ),
    ]


@dataclass(frozen=True)
class _Rescans:
    """Some rescans."""

    looked_at: int
    rounds: Rounds

    def figures(self, name: str, *, aim: str, reached: bool, **details: Any) -> Figures:
        """Write them as a measurement."""
        return Figures(
            name=name,
            floor="os.scandir and stat of the same directory",
            aim=aim,
            files=self.looked_at,
            bytes=self.looked_at * _FILE_BYTES,
            seconds=self.rounds.seconds,
            floor_seconds=self.rounds.floor,
            reached=reached,
            details={**self.rounds.details, **details},
        )


def _measured(
    home: Path | None, nights: Sequence[datetime], files: int, matches: Callable[[str], bool]
) -> _Rescans:
    """Measure rescans of those that match among so many files of each night."""
    _, content = niri_sample().named(1)
    small = content[: content.index(b"END     ")].ljust(_FILE_BYTES)
    with bench_home(home) as settings, bench_site(settings, "summit") as site:
        directory = site.settings.store_directory
        assert directory is not None
        paths = [
            directory / f"N{night:%Y%m%d}S{number:04d}.fits"
            for night in nights
            for number in range(1, files + 1)
        ]
        for path in paths:
            path.write_bytes(small)
        _pretend_ingested(site, paths)
        with site.engine.begin() as connection:
            connection.exec_driver_sql("analyze")  # as a server does by itself, some time after the ingest
        rescan(site)
        expected = sum(matches(path.name) for path in paths)
        rounds = take_turns(
            _ROUNDS, lambda: _rescan_seconds(site, matches, expected), lambda: _scan_seconds(directory)
        )
    return _Rescans(expected, rounds)


def _pretend_ingested(site: Site, paths: Sequence[Path]) -> None:
    """Write the versions of files as an ingest of them would, without reading them."""
    with site.engine.begin() as connection:
        ids = connection.execute(
            file.insert().returning(file.c.id, sort_by_parameter_order=True),
            [{"name": p.name} for p in paths],
        ).scalars()
        rows = []
        for path, file_id in zip(paths, ids, strict=True):
            stat = path.stat()
            seconds, rest = divmod(stat.st_mtime_ns, 1_000_000_000)
            rows.append(
                {
                    "file_id": file_id,
                    "filename": path.name,
                    "path": "",
                    "present": True,
                    "canonical": True,
                    "file_md5": "0" * 32,
                    "file_size": stat.st_size,
                    "lastmod": datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000),
                    "compressed": False,
                    "data_md5": "0" * 32,
                    "data_size": stat.st_size,
                    "isfits": True,
                }
            )
        connection.execute(diskfile.insert(), rows)


def _rescan_seconds(site: Site, matches: Callable[[str], bool], files: int) -> float:
    report = rescan(site, matches=matches)
    if (report.seen, report.changed) != (files, 0):
        raise RuntimeError(f"{report.seen} files seen and {report.changed} changed instead of {files} and 0")
    return report.seconds


def _scan_seconds(directory: Path) -> float:
    began = time.perf_counter()
    with os.scandir(directory) as entries:
        for entry in entries:
            entry.stat()
    return time.perf_counter() - began
