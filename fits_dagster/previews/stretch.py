"""The stretch: from pixel values to grey between two percentiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fits_dagster.previews.errors import NoPreview

__all__ = ["Counted", "count_values", "limits_of_counted", "limits_of_pixels", "to_grey"]

#: integer pixels are counted where their values span no more than this
COUNTABLE_SPAN = 1 << 20
#: pixels looked at where counting is not possible
SAMPLE = 1 << 18
#: pixels counted at a time, so that the working copy stays in the cache
CHUNK = 1 << 19


@dataclass(frozen=True)
class Counted:
    """Distinct values, ascending, and how often each occurs."""

    values: NDArray[np.float64]
    counts: NDArray[np.int64]


def count_values(pixels: NDArray[Any]) -> Counted | None:
    """Count the values of integer pixels; None where they span too much (or are not integers)."""
    if pixels.dtype.kind not in "iu" or pixels.size == 0:
        return None
    if pixels.dtype.itemsize <= 2:
        low, high = np.iinfo(pixels.dtype).min, np.iinfo(pixels.dtype).max
    else:
        low, high = int(pixels.min()), int(pixels.max())
    if high - low >= COUNTABLE_SPAN:
        return None
    counts = np.zeros(high - low + 1, np.int64)
    for rows in _chunks(pixels):
        shifted = rows.astype(np.int64)
        shifted -= low
        counts += np.bincount(shifted.ravel(), minlength=counts.size)
    used = np.flatnonzero(counts)
    return Counted((used + low).astype(np.float64), counts[used])


def limits_of_counted(parts: list[Counted], percentile: float) -> tuple[float, float]:
    """Percentiles p and 100 - p of counted pixels, exact, interpolated as `numpy.percentile` does."""
    values = np.concatenate([part.values for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    order = np.argsort(values, kind="stable")
    values, ends = values[order], np.cumsum(counts[order])
    total = int(ends[-1])

    def at(percent: float) -> float:
        rank = (total - 1) * percent / 100.0
        below = int(rank)
        first, second = values[np.searchsorted(ends, [below, min(below + 1, total - 1)], side="right")]
        return float(first + (second - first) * (rank - below))

    return _widen(at(percentile), at(100.0 - percentile), float(values[0]), float(values[-1]))


def limits_of_pixels(pixels: NDArray[Any], percentile: float) -> tuple[float, float]:
    """Percentiles p and 100 - p: exact for integers that can be counted, else of an even sample.

    Raises
    ------
    NoPreview
        ``no_finite_pixels``.
    """
    counted = count_values(pixels)
    if counted is not None:
        return limits_of_counted([counted], percentile)
    flat = pixels.reshape(-1)
    sample = flat[:: _stride(flat.size, pixels.shape[-1])].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        finite = flat[np.isfinite(flat)]
        if finite.size == 0:
            raise NoPreview("no_finite_pixels")
        sample = finite.astype(np.float64)
    low, high = np.percentile(sample, [percentile, 100.0 - percentile])
    return _widen(float(low), float(high), float(sample.min()), float(sample.max()))


def to_grey(pixels: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Map values between `low` and `high` to 0 to 255; beyond is clipped, no number is black."""
    with np.errstate(over="ignore", invalid="ignore"):
        grey = (pixels - np.float32(low)) * np.float32(255.0 / (high - low))
    np.nan_to_num(grey, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    np.clip(grey, 0.0, 255.0, out=grey)
    return (grey + np.float32(0.5)).astype(np.uint8)


def _widen(low: float, high: float, smallest: float, largest: float) -> tuple[float, float]:
    """Make sure that there is a range: else that of all values, else one about the only value (mid grey)."""
    if high > low:
        return low, high
    if largest > smallest:
        return smallest, largest
    margin = max(0.5, abs(low) * 1e-3)
    return low - margin, low + margin


def _stride(size: int, row: int) -> int:
    """Step through flat pixels that leaves about `SAMPLE` of them and does not stay in the same columns."""
    step = max(1, size // SAMPLE)
    while step > 1 and np.gcd(step, row) != 1:
        step += 1
    return step


def _chunks(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    rows = max(1, CHUNK // max(1, pixels[0].size)) if pixels.ndim > 1 else pixels.size
    return [pixels[start : start + rows] for start in range(0, len(pixels), rows)]
