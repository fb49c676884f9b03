"""Previews, against reading, plain shrinking and encoding of the same pixels."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, with_workers
from benchmarks.ingest import ingest_all
from benchmarks.samples import Sample, gmos_sample, niri_sample
from fits_dagster.fits.reading import read_headers
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages.preview import STAGE

__all__ = ["measure_previews"]

_WIDTH = 640
_JPEG_QUALITY = 88
_TYPES = {16: ">i2", 32: ">i4", -32: ">f4"}
_GMOS_MB = 15.0


def measure_previews(home: Path | None, *, files: int = 12) -> list[Figures]:
    """Measure the preview stage with one worker, database and store included."""
    subjects = {"NIRI": (niri_sample(), 25.0), "GMOS, 12 extensions": (gmos_sample(_GMOS_MB), 90.0)}
    runs: list[Figures] = []
    with bench_home(home) as settings, bench_site(settings, "archive") as site:
        one = with_workers(site, 1)
        first = 1
        for name, (sample, aim) in subjects.items():
            _ingest(one, sample, [first])
            _render(one, 1)  # imports and first queries
            paths = _ingest(one, sample, range(first + 1, first + 1 + files))
            first += files + 1
            before = _floor(paths)
            seconds = _render(one, files)
            floor = (before + _floor(paths)) / 2
            figures = Figures(
                name=f"preview {name}",
                floor="reading, every n-th pixel, linear stretch, Pillow's JPEG encoder",
                aim=f"{name} <= {aim:.0f} ms",
                files=files,
                bytes=sum(path.stat().st_size for path in paths),
                seconds=seconds,
                floor_seconds=floor,
                reached=seconds / files * 1e3 <= aim,
            )
            runs.append(figures)
    return runs


def _ingest(site: Site, sample: Sample, numbers: Iterable[int]) -> list[Path]:
    """Store and ingest files, which queues their previews."""
    assert site.settings.store_directory is not None
    paths = sample.write(site.settings.store_directory, numbers)
    ingest_all(site, paths)
    return paths


def _render(site: Site, files: int) -> float:
    """Render the previews that are due; returns the seconds."""
    began = time.perf_counter()
    report = drain(site, STAGE)
    seconds = time.perf_counter() - began
    if report.outcomes != {"rendered": files}:
        raise RuntimeError(f"{report.outcomes} instead of {files} previews: {report.failures[:1]}")
    return seconds


def _floor(paths: Sequence[Path]) -> float:
    began = time.perf_counter()
    for path in paths:
        _plain_preview(path)
    return time.perf_counter() - began


def _plain_preview(path: Path) -> bytes:
    images = [hdu for hdu in read_headers(path) if hdu.has_pixels]
    parts: list[NDArray[np.float32]] = []
    step = 1
    with path.open("rb", buffering=0) as file:
        for hdu in images:
            file.seek(hdu.data_offset)
            pixels = np.frombuffer(file.read(hdu.data_bytes), _TYPES[hdu.bitpix or 16]).reshape(hdu.shape)
            step = max(1, -(-pixels.shape[1] * len(images) // _WIDTH))
            parts.append(pixels[::step, ::step].astype(np.float32))
    picture = np.hstack(parts)
    low, high = float(picture.min()), float(picture.max())
    grey = ((picture - low) * np.float32(255.0 / max(high - low, 1e-6))).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(grey[::-1])).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
