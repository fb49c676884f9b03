"""Ingest, against the bare reading of the same files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, with_workers
from benchmarks.rounds import take_turns
from benchmarks.samples import gmos_sample
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.settings import SiteName
from fits_dagster.sites import Site
from fits_dagster.stages.ingest import STAGE

__all__ = ["ingest_all", "measure_ingest"]

_RATIO_AIM = 1.12
_RATE_AIM = 1.8


def measure_ingest(
    home: Path | None,
    *,
    files: int = 10,
    megabytes: float = 30.0,
    workers: Sequence[int] = (1, 2),
    site: SiteName = "summit",
    rounds: int = 5,
) -> list[Figures]:
    """Measure the ingest of GMOS files that are in the page cache, one run for each number of workers."""
    sample = gmos_sample(megabytes)
    runs: list[Figures] = []
    with bench_home(home) as settings, bench_site(settings, site) as opened:
        directory = _store_directory(opened)
        ingest_all(opened, sample.write(directory, range(9000, 9002)))  # first queries, imports, plans
        first = 1
        for count in workers:
            chosen = with_workers(opened, count)
            batches: list[list[Path]] = []

            def stage(chosen: Site = chosen, batches: list[list[Path]] = batches) -> float:
                nonlocal first
                paths = sample.write(directory, range(first, first + files))
                first += files
                batches.append(paths)
                for path in paths:
                    _digest(path)
                return ingest_all(chosen, paths)

            def floor(batches: list[list[Path]] = batches) -> float:
                return _floor(batches[-1])

            stage()
            found = take_turns(rounds, stage, floor)
            size = sum(path.stat().st_size for path in batches[-1])
            for path in (path for batch in batches for path in batch):
                path.unlink()
            rate = runs[0].seconds / found.seconds if runs else 1.0
            figures = Figures(
                name=f"ingest at the {site}",
                floor="md5 of the bytes and astropy's reading of all headers, files in the page cache",
                aim=f"ratio <= {_RATIO_AIM} with one worker; two workers >= {_RATE_AIM} times its rate",
                files=files,
                bytes=size,
                seconds=found.seconds,
                floor_seconds=found.floor,
                workers=count,
                reached=found.seconds / found.floor <= _RATIO_AIM if count == 1 else rate >= _RATE_AIM,
                details={
                    "mb_per_file": round(size / files / 1e6, 1),
                    "times_the_first_rate": round(rate, 2),
                    **found.details,
                },
            )
            runs.append(figures)
    return runs


def ingest_all(site: Site, paths: Sequence[Path]) -> float:
    """Queue and ingest files of the store's top directory; returns the seconds.

    Raises
    ------
    RuntimeError
        Some failed; the message has the first reason.
    """
    with site.engine.begin() as connection:
        add_work(connection, (NewWork(stage="ingest", filename=path.name, no_defer=True) for path in paths))
    began = time.perf_counter()
    report = drain(site, STAGE)
    seconds = time.perf_counter() - began
    if report.done != len(paths):
        raise RuntimeError(f"only {report.done} of {len(paths)} files were ingested: {report.failures[:1]}")
    return seconds


def _store_directory(site: Site) -> Path:
    assert site.settings.store_directory is not None
    return site.settings.store_directory


def _floor(paths: Sequence[Path]) -> float:
    from astropy.io import fits

    began = time.perf_counter()
    for path in paths:
        _digest(path)
        with fits.open(path, lazy_load_hdus=False) as hdus:
            for hdu in hdus:
                len(hdu.header)
    return time.perf_counter() - began


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
