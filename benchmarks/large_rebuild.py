"""A store of very many small objects, of which the database is made again while processes are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.home import bench_home, bench_site
from benchmarks.year.plan import Chances, YearPlan, broken, content
from fits_dagster.cli.paths import progress_bar
from fits_dagster.settings import Settings
from fits_dagster.sites import Site

__all__ = ["measure_large_rebuild", "print_large_rebuild"]

_FILES_PER_NIGHT: Final = 400
_FIRST: Final = date(2024, 1, 1)
#: Seconds since 1970.
_LONG_AGO: Final = 1_700_000_000.0
_LOOK_S: Final = 2.0
_STANDS_STILL_S: Final = 300.0
#: What is killed, when so many shares of the files are done: a process of the command, or all of it.
_KILLS: Final = ((0.25, "process"), (0.5, "command"), (0.75, "process"))
_PARTS: Final = 10
_AIM: Final = 1.5

_COUNTS: Final = {
    "records": "select count(distinct diskfile_id) from header",
    "previews": "select count(distinct diskfile_id) from preview",
    "files_with_associations": "select count(distinct header_id) from calibration_answer",
    "versions": "select count(*) from diskfile",
    "failed": "select count(*) from work_item where state = 'failed'",
    "left": "select count(*) from work_item where state <> 'failed'",
}


@dataclass
class _Course:
    """What was seen on the way."""

    #: Seconds since the beginning when each tenth of the files was done.
    parts: list[float] = field(default_factory=list)
    #: Memory of the largest process then, MB.
    memory: list[float] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)


def measure_large_rebuild(home: Path | None, *, objects: int = 10_000) -> dict[str, Any]:
    """Measure a rebuild of small files of all instruments, and look whether it is complete.

    On its way one of its processes is killed twice, and the whole command once, which is then begun again.

    Parameters
    ----------
    home
        Directory below which the home is made; by default that of temporary files.
    objects
        Files in the store, 400 a night; of a thousand, five are broken.

    Returns
    -------
    dict
        Ready for JSON.
    """
    nights = -(-objects // _FILES_PER_NIGHT)
    plan = YearPlan(_FIRST, nights, min(objects, _FILES_PER_NIGHT), 1, Chances())
    console = Console(stderr=True)
    with bench_home(home) as settings, bench_site(settings, "archive") as archive:
        store = settings.archive.store_directory
        assert store is not None
        with (
            ProcessPoolExecutor(os.cpu_count()) as pool,
            progress_bar(console) as bar,
        ):
            task = bar.add_task("nights", total=nights)
            wrong = 0
            for faults in pool.map(partial(_write_night, plan, store), range(nights)):
                wrong += faults
                bar.advance(task)
        files = sum(1 for each in os.scandir(store) if each.is_file())
        size = sum(each.stat().st_size for each in os.scandir(store) if each.is_file())
        course = _Course()
        began = time.monotonic()
        _rebuild(settings, archive, files - wrong, course, console)
        seconds = time.monotonic() - began
        with archive.engine.connect() as connection:
            made = {what: connection.scalar(text(count)) for what, count in _COUNTS.items()}
    tenths = [later - earlier for earlier, later in zip([0.0, *course.parts], course.parts, strict=False)]
    tells = len(tenths) == _PARTS and tenths[1] > 10 * _LOOK_S
    growth = tenths[-1] / tenths[1] if tells else None
    counted = (made["records"], made["versions"], made["failed"], made["left"])
    is_complete = counted == (files - wrong, files - wrong, wrong, 0)
    return {
        "bench": "rebuild-store",
        "objects": files,
        "bytes": size,
        "broken": wrong,
        **made,
        "seconds": round(seconds, 1),
        "files_per_s": round(files / seconds, 1),
        "seconds_of_each_tenth": [round(each, 1) for each in tenths],
        "growth": round(growth, 2) if growth is not None else None,
        "largest_process_mb": [round(each) for each in course.memory],
        "killed": course.kills,
        "aim": f"complete, each file once; the last tenth <= {_AIM} x the second",
        "reached": is_complete and (growth is None or growth <= _AIM),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def print_large_rebuild(figures: dict[str, Any], console: Console) -> None:
    """Show the figures as a table."""
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, str(value))
    console.print(table)


def _write_night(plan: YearPlan, store: Path, number: int) -> int:
    """Write the files of a night into the store; returns how many of them are broken."""
    night = plan.night(number)
    for frame in night.frames:
        whole, fault = content(frame), night.faults.get(frame.filename)
        path = store / frame.filename
        # an end that would come later has not come
        path.write_bytes(broken(whole, fault) if fault else whole)
        os.utime(path, (_LONG_AGO, _LONG_AGO))
    return len(night.faults)


@contextmanager
def _command(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "fits_dagster", "rebuild", "--site", "archive"]
    with (settings.home / "rebuild.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--here", str(os.cpu_count() or 1), "--home", str(settings.home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _rebuild(settings: Settings, archive: Site, files: int, course: _Course, console: Console) -> None:
    """Run the command until it ends by itself, and kill on the way."""
    began, kills = time.monotonic(), list(_KILLS)
    with progress_bar(console) as bar:
        task = bar.add_task("records", total=files)
        while True:
            with _command(settings) as process:
                seen, moved = 0, time.monotonic()
                while process.poll() is None:
                    time.sleep(_LOOK_S)
                    with archive.engine.connect() as connection:
                        done = int(connection.scalar(text("select count(*) from header")) or 0)
                    bar.update(task, completed=done)
                    if done != seen:
                        seen, moved = done, time.monotonic()
                    if time.monotonic() > moved + _STANDS_STILL_S:
                        raise RuntimeError(f"the rebuild stands still at {done} of {files} files")
                    while len(course.parts) < _PARTS and done >= files * (len(course.parts) + 1) / _PARTS:
                        course.parts.append(time.monotonic() - began)
                        course.memory.append(_largest_mb(process))
                    if kills and done >= files * kills[0][0]:
                        _, what = kills.pop(0)
                        course.kills.append(f"a {what} at {done} files")
                        if what == "command":
                            break
                        _processes_of(process)[0].kill()
                else:
                    return


def _processes_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes of a command that share its work."""
    found: list[psutil.Process] = psutil.Process(process.pid).children()
    if not found:
        raise RuntimeError("the command has no processes")
    return found


def _largest_mb(process: subprocess.Popen[bytes]) -> float:
    sizes = []
    with suppress(psutil.NoSuchProcess):
        for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                sizes.append(each.memory_info().rss / 1e6)
    return max(sizes, default=0.0)
