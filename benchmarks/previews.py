"""Previews, against reading, plain shrinking and encoding of the same pixels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, with_workers
from benchmarks.ingest import ingest_all
from benchmarks.rounds import take_turns, taken
from benchmarks.samples import Sample, ghost_arm_sample, gmos_sample, gsaoi_sample, ifu_sample, niri_sample
from fits_dagster.fits.reading import read_headers
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages.preview import STAGE

__all__ = ["measure_previews"]

_JPEG_QUALITY: Final = 88
_BOX: Final = (640, 480)
_TYPES: Final = {16: ">i2", 32: ">i4", -32: ">f4"}
_GMOS_MB: Final = 15.0
_PLANES: Final = 48
#: So many parts stand side by side, fewer in a square.
_GMOS_PARTS: Final = 12
_RATIO_AIM: Final = 3.0


@dataclass(frozen=True)
class _Subject:
    """A kind of file, and what its preview ought to cost."""

    name: str
    sample: Callable[[], Sample]
    #: Images that the preview shows, at the most.
    images: int = 1
    #: Milliseconds; without, it is a multiple of the floor.
    aim: float | None = None


_SUBJECTS: Final = (
    _Subject("NIRI", niri_sample, aim=8.0),
    _Subject("GMOS, 12 extensions", lambda: gmos_sample(_GMOS_MB), images=12, aim=20.0),
    _Subject("IFU, a cube of 29 MB", ifu_sample),
    _Subject("GSAOI, 4 x 2k x 2k", gsaoi_sample, images=4),
    _Subject("GHOST, an arm", ghost_arm_sample),
)


def measure_previews(home: Path | None, *, files: int = 6, rounds: int = 5) -> list[Figures]:
    """Measure the preview stage with one worker, database and store included."""
    runs: list[Figures] = []
    with bench_home(home) as settings, bench_site(settings, "archive") as site:
        one = with_workers(site, 1)
        STAGE.begin()
        first = 1
        for subject in _SUBJECTS:
            sample = subject.sample()
            _ingest(one, sample, [first])
            _render(one, 1)  # imports and first queries
            first += 1
            batches: list[list[Path]] = []

            def stage(sample: Sample = sample, batches: list[list[Path]] = batches) -> float:
                nonlocal first
                batches.append(_ingest(one, sample, range(first, first + files)))
                first += files
                return _render(one, files)

            def floor(subject: _Subject = subject, batches: list[list[Path]] = batches) -> float:
                return taken(lambda: [_plain_preview(path, subject.images) for path in batches[-1]])

            stage()
            found = take_turns(rounds, stage, floor)
            size = sum(path.stat().st_size for path in batches[-1])
            for path in (path for batch in batches for path in batch):
                path.unlink()
            per_file = found.seconds / files * 1e3
            ratio = found.seconds / found.floor
            runs.append(
                Figures(
                    name=f"preview {subject.name}",
                    floor="reading what is shown, Pillow's means over blocks and JPEG encoder",
                    aim=f"{subject.name} <= {subject.aim:.0f} ms"
                    if subject.aim
                    else f"<= {_RATIO_AIM:.0f} x floor",
                    files=files,
                    bytes=size,
                    seconds=found.seconds,
                    floor_seconds=found.floor,
                    reached=per_file <= subject.aim if subject.aim else ratio <= _RATIO_AIM,
                    details=found.details,
                )
            )
        STAGE.end()
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


def _plain_preview(path: Path, number: int) -> bytes:
    images = [hdu for hdu in read_headers(path) if hdu.has_pixels][:number]
    parts: list[NDArray[np.float32]] = []
    with path.open("rb", buffering=0) as file:
        for hdu in images:
            rows, columns = hdu.shape[-2:]
            kind = np.dtype(_TYPES[hdu.bitpix or 16])
            plane = rows * columns * kind.itemsize
            planes = hdu.data_bytes // plane
            pixels: NDArray[np.float32] = np.zeros((rows, columns), np.float32)
            for index in np.linspace(0, planes - 1, min(planes, _PLANES)).astype(int):
                file.seek(hdu.data_offset + int(index) * plane)
                pixels += np.frombuffer(file.read(plane), kind).reshape(rows, columns)
            wide = math.ceil(math.sqrt(len(images))) if len(images) < _GMOS_PARTS else len(images)
            shrunk = max(columns * wide / _BOX[0], rows * len(images) / wide / _BOX[1])
            block = max(1, int(shrunk))
            parts.append(np.asarray(Image.fromarray(pixels).reduce(block)))
    picture = np.hstack(parts)
    low, high = float(picture.min()), float(picture.max())
    grey = ((picture - low) * np.float32(255.0 / max(high - low, 1e-6))).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(grey[::-1])).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
