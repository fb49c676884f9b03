"""An initial load of small files, against what reading, copying and drawing them costs without a database."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site
from benchmarks.rounds import Spent, take_turns, taken
from benchmarks.small import small_night
from fits_dagster.previews.guarded import rendered_for
from fits_dagster.settings import Settings
from fits_dagster.stages.observation import observe
from fits_dagster.system.load import initial_load

__all__ = ["measure_load"]

_AIM_MS: Final = 20.0
_RATE_AIM: Final = 1.8


def measure_load(
    home: Path | None, *, files: int = 600, workers: Sequence[int] = (1, 2), rounds: int = 3
) -> list[Figures]:
    """Measure store, ingest, preview and associations of files of 1 MB and less."""
    runs: list[Figures] = []
    with bench_home(home) as settings, bench_site(settings, "archive") as site:
        # the load would stop the server at its end, and the next one start it again
        address = site.engine.url.set(drivername="postgresql", database=None)
        settings = settings.model_copy(update={"database_url": address.render_as_string(hide_password=False)})
        sources = settings.home / "sources"
        day = 0
        last: list[Path] = []
        spent: list[float] = []
        for count in workers:

            def stage(count: int = count) -> float:
                nonlocal day, last
                day += 1
                last = small_night(sources / str(day), files, f"2025{9 + day // 28:02d}{day % 28 + 1:02d}")
                meter = Spent(site.engine)
                seconds = taken(lambda: _complete(settings, last, count))
                spent.append(meter.again())
                return seconds

            def floor() -> float:
                return taken(lambda: _plainly(last, settings.home / "plain"))

            stage()  # imports, first queries, plans
            spent.clear()
            found = take_turns(rounds, stage, floor)
            per_file = sorted(spent)[len(spent) // 2] / files * 1e3
            rate = runs[0].seconds / found.seconds if runs else 1.0
            runs.append(
                Figures(
                    name="initial load of small files",
                    floor="copying, reading and drawing them in one process, without a database",
                    aim=f"<= {_AIM_MS:.0f} ms of processor a file; two >= {_RATE_AIM} times the rate of one",
                    files=files,
                    bytes=sum(path.stat().st_size for path in last),
                    seconds=found.seconds,
                    floor_seconds=found.floor,
                    workers=count,
                    reached=per_file <= _AIM_MS and (count == 1 or rate >= _RATE_AIM),
                    details={
                        "processor_ms_per_file": round(per_file, 2),
                        "times_the_first_rate": round(rate, 2),
                        **found.details,
                    },
                )
            )
    return runs


def _complete(settings: Settings, paths: Sequence[Path], workers: int) -> None:
    report = initial_load(settings, "archive", paths, workers=workers)
    done = sum(report.outcomes.get("preview", {}).values())
    if report.failures or done != len(paths):
        raise RuntimeError(f"{done} of {len(paths)} files came through: {report.failures[:1]}")


def _plainly(paths: Sequence[Path], directory: Path) -> None:
    """Copy files safely, describe them, and draw them."""
    directory.mkdir(exist_ok=True)
    for path in paths:
        content = path.read_bytes()
        hashlib.md5(content, usedforsecurity=False).hexdigest()
        copied = directory / path.name
        with copied.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        seen = observe(copied, copied.name)
        assert seen.description is not None
        instrument = seen.description.record["instrument"]
        _, jpeg = rendered_for(copied, str(instrument), seen.description.tags)
        copied.with_suffix(".jpg").write_bytes(jpeg)
        copied.unlink()
