"""Copy and export, against bare copying and bare compression of the same bytes."""

from __future__ import annotations

import bz2
import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, served_archive, with_workers
from benchmarks.ingest import ingest_all
from benchmarks.samples import Sample, gmos_sample
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.ledger.stage import Stage
from fits_dagster.sites import Site
from fits_dagster.stages import copy, export

__all__ = ["measure_copy", "measure_export"]

_CHUNK = 1 << 20
_COPY_AIM = 0.95
_EXPORT_AIM = 0.95
_COPY_ROUNDS = 5
#: Seconds until a file that was seen for the first time is looked at again.
_SECOND_LOOK_S = 0.6
_PATIENCE_S = 60.0


def measure_copy(
    home: Path | None, *, files: int = 6, megabytes: float = 30.0, workers: Sequence[int] = (1, 2)
) -> list[Figures]:
    """Measure the copy from the DHS directory; stage and floor take turns, the median round counts."""
    sample = gmos_sample(megabytes)
    runs: list[Figures] = []
    with bench_home(home) as settings, bench_site(settings, "summit") as site:
        bare = settings.home / "bare"
        bare.mkdir()
        first = 1
        for count in workers:
            rounds = []
            for turn in range(_COPY_ROUNDS):
                numbers = range(first, first + files)
                rounds.append(_copy_round(with_workers(site, count), sample, numbers, bare, turn % 2 == 0))
                first += files
            ratios = [stage / least for stage, least, _ in rounds]
            stages, floors, sizes = (sorted(column) for column in zip(*rounds, strict=True))
            seconds, floor, size = (column[_COPY_ROUNDS // 2] for column in (stages, floors, sizes))
            figures = Figures(
                name="copy from the DHS",
                floor="copy with md5, fsync and rename, one file after the other",
                aim=f">= {_COPY_AIM:.0%} of the floor's speed",
                files=files,
                bytes=int(size),
                seconds=seconds,
                floor_seconds=floor,
                workers=count,
                reached=floor / seconds >= _COPY_AIM,
                details={
                    "share_of_floor_speed": round(floor / seconds, 3),
                    "rounds": _COPY_ROUNDS,
                    "ratios": f"{min(ratios):.2f} to {max(ratios):.2f}",
                },
            )
            runs.append(figures)
    return runs


def _copy_round(
    site: Site, sample: Sample, numbers: range, bare: Path, floor_first: bool
) -> tuple[float, float, int]:
    """Copy some files by the stage and barely; returns both times and the number of bytes."""
    assert site.settings.dhs_directory is not None and site.settings.store_directory is not None
    sources = sample.write(site.settings.dhs_directory, numbers)
    copy.scan_dhs(site)
    drain(site, copy.STAGE)  # sees every file for the first time, and puts it back
    time.sleep(_SECOND_LOOK_S)
    floor = _bare_copies(sources, bare) if floor_first else 0.0
    began = time.perf_counter()
    _complete(drain(site, copy.STAGE), len(sources))
    seconds = time.perf_counter() - began
    floor = floor or _bare_copies(sources, bare)
    size = sum(source.stat().st_size for source in sources)
    for source in sources:
        source.unlink()
        (site.settings.store_directory / source.name).unlink()
    return seconds, floor, size


def _bare_copies(sources: Sequence[Path], bare: Path) -> float:
    """Copy files as plainly as a safe copy can be; returns the seconds."""
    began = time.perf_counter()
    for source in sources:
        digest = hashlib.md5(usedforsecurity=False)
        temporary = bare / f"{source.name}.part"
        with source.open("rb") as reader, temporary.open("wb") as writer:
            while chunk := reader.read(_CHUNK):
                digest.update(chunk)
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        temporary.replace(bare / source.name)
        handle = os.open(bare, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    seconds = time.perf_counter() - began
    for source in sources:
        (bare / source.name).unlink()
    return seconds


def measure_export(
    home: Path | None, *, files: int = 4, megabytes: float = 15.0, workers: Sequence[int] = (1, 2)
) -> list[Figures]:
    """Measure the export to an archive that answers in another process."""
    sample = gmos_sample(megabytes)
    runs: list[Figures] = []
    with bench_home(home) as settings, bench_site(settings, "summit") as site, served_archive(settings):
        assert site.settings.store_directory is not None
        warm = sample.write(site.settings.store_directory, [9000])
        ingest_all(site, warm)
        _complete(_drained(site, export.STAGE, 1), 1)
        for run, count in enumerate(workers):
            numbers = range(1 + run * files, 1 + (run + 1) * files)
            paths = sample.write(site.settings.store_directory, numbers)
            ingest_all(site, paths)
            before, compressed = _bare_compression(paths, count)
            began = time.perf_counter()
            report = _drained(with_workers(site, count), export.STAGE, len(paths))
            seconds = time.perf_counter() - began
            _complete(report, len(paths))
            # the machine may be busier after the run than before it
            floor = (before + _bare_compression(paths, count)[0]) / 2
            figures = Figures(
                name="export over HTTP",
                floor="bz2.compress of the same bytes in as many threads",
                aim=f">= {_EXPORT_AIM} of the floor's speed",
                files=files,
                bytes=sum(path.stat().st_size for path in paths),
                seconds=seconds,
                floor_seconds=floor,
                workers=count,
                reached=floor / seconds >= _EXPORT_AIM,
                details={
                    "share_of_floor_speed": round(floor / seconds, 3),
                    "floor_mb_per_s": round(files * len(sample.content) / 1e6 / floor, 2),
                    "compressed_bytes": compressed,
                    "sent_mb_per_s": round(report.bytes / 1e6 / seconds, 2),
                },
            )
            runs.append(figures)
    return runs


def _drained(site: Site, stage: Stage[Any], files: int) -> DrainReport:
    """Drain until all files are done; a file that the other side holds up is waited for."""
    done = 0

    def note(report: DrainReport) -> None:
        nonlocal done
        done = report.done + len(report.failures)

    return drain(site, stage, linger=_PATIENCE_S, stop=lambda: done >= files, on_round=note)


def _bare_compression(paths: Sequence[Path], threads: int) -> tuple[float, int]:
    """Compress files in memory; returns the seconds and the number of bytes that it makes."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        size = sum(pool.map(lambda path: len(bz2.compress(path.read_bytes())), paths))
    return time.perf_counter() - began, size


def _complete(report: DrainReport, files: int) -> None:
    if report.done != files:
        raise RuntimeError(f"{report.stage}: only {report.done} of {files} files: {report.failures[:1]}")
