"""A rebuild of the archive's database from its store, against reading the store on all cores."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from sqlalchemy import text

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site
from benchmarks.rounds import taken
from benchmarks.samples import gmos_sample
from fits_dagster.settings import Settings, write_effective

__all__ = ["measure_rebuild"]

_AIM: Final = 0.6
#: Seconds since 1970.
_LONG_AGO: Final = 1_700_000_000.0


def measure_rebuild(
    home: Path | None, *, files: int = 120, megabytes: float = 27.7, cold: bool = False
) -> list[Figures]:
    """Measure ``fits-dagster rebuild`` of raw frames in a directory, begun once with an empty database.

    The start of the command and of its processes counts, as it does when it is used.

    Parameters
    ----------
    megabytes
        Size of one file.
    cold
        Read from the disk, as a store larger than memory is; else all find the files in the page cache.
    """
    cores = len(os.sched_getaffinity(0))
    with bench_home(home) as settings:
        store = settings.archive.store_directory
        assert store is not None
        paths = gmos_sample(megabytes).write(store, range(1, files + 1))
        for path in paths:
            # a store that is rebuilt has not been written a moment ago
            os.utime(path, (_LONG_AGO, _LONG_AGO))
        held = sum(path.stat().st_size for path in paths)
        with ProcessPoolExecutor(cores) as pool:

            def timed(action: Callable[[], None]) -> float:
                if cold:
                    _forget(paths)
                return taken(action)

            floors = [timed(lambda: _read(pool, paths)) for _ in range(2)]
            seconds = timed(lambda: _rebuild(settings, cores))
            floors.append(timed(lambda: _read(pool, paths)))
        _see_complete(settings, files)
    floor = sorted(floors)[1]
    return [
        Figures(
            name=f"rebuild from the store, {'on the disk' if cold else 'in the page cache'}",
            floor="the files read and their MD5 summed up, on all cores",
            aim=f">= {_AIM:.0%} of the floor's rate",
            files=files,
            bytes=held,
            seconds=seconds,
            floor_seconds=floor,
            workers=cores,
            reached=floor / seconds >= _AIM,
            details={"share_of_floor_speed": round(floor / seconds, 3)},
        )
    ]


def _forget(paths: Sequence[Path]) -> None:
    """Let the kernel forget what it has of the files in memory."""
    for path in paths:
        with path.open("rb") as file:
            # what is not on the disk yet stays
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _rebuild(settings: Settings, processes: int) -> None:
    effective = settings.home / "effective.json"
    write_effective(settings, effective)
    command = [sys.executable, "-m", "fits_dagster", "rebuild", "--site", "archive", "--here", str(processes)]
    done = subprocess.run(
        [*command, "--home", str(settings.home)],
        env={**os.environ, "FITS_DAGSTER_EFFECTIVE_SETTINGS": str(effective)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the rebuild failed: {done.stdout[-500:]} {done.stderr[-1500:]}")


def _see_complete(settings: Settings, files: int) -> None:
    """Refuse figures of a rebuild that has not made everything again."""
    with bench_site(settings, "archive") as site, site.engine.connect() as connection:
        for table in ("header", "preview"):
            made = connection.scalar(text(f"select count(distinct diskfile_id) from {table}"))
            if made != files:
                raise RuntimeError(f"{made} of {files} files have their {table}")


def _read(pool: ProcessPoolExecutor, paths: Sequence[Path]) -> None:
    for _ in pool.map(_digest, paths):
        pass


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
