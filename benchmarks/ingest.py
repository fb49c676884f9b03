"""Ingest, against the bare reading of the same files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, with_workers
from benchmarks.samples import gmos_sample
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.settings import SiteName
from fits_dagster.sites import Site
from fits_dagster.stages.ingest import STAGE

__all__ = ["ingest_all", "measure_ingest"]

_RATIO_AIM = 1.6


def measure_ingest(
    home: Path | None,
    *,
    files: int = 10,
    megabytes: float = 30.0,
    workers: Sequence[int] = (1, 2),
    site: SiteName = "summit",
) -> list[Figures]:
    """Measure the ingest of GMOS files that are in the page cache, one run for each number of workers."""
    sample = gmos_sample(megabytes)
    runs: list[Figures] = []
    with bench_home(home) as settings, bench_site(settings, site) as opened:
        directory = _store_directory(opened)
        ingest_all(opened, sample.write(directory, range(9000, 9002)))  # first queries, imports, plans
        for run, count in enumerate(workers):
            paths = sample.write(directory, range(1 + run * files, 1 + (run + 1) * files))
            for path in paths:
                _digest(path)
            before = _floor(paths)
            seconds = ingest_all(with_workers(opened, count), paths)
            # the machine may be busier after the run than before it
            floor = (before + _floor(paths)) / 2
            size = sum(path.stat().st_size for path in paths)
            figures = Figures(
                name=f"ingest at the {site}",
                floor="md5 of the bytes and astropy's reading of all headers, files in the page cache",
                aim=f"ratio <= {_RATIO_AIM} with one worker, more files/s with more workers",
                files=files,
                bytes=size,
                seconds=seconds,
                floor_seconds=floor,
                workers=count,
                reached=seconds / floor <= _RATIO_AIM if count == 1 else None,
                details={"mb_per_file": round(size / files / 1e6, 1)},
            )
            runs.append(figures)
            for path in paths:
                path.unlink()
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
