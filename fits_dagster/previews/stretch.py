"""The stretch: from pixel values to grey between two percentiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fits_dagster.previews.errors import NoPreview

__all__ = ["SAMPLE", "Sampler", "limits_of_pixels", "limits_of_sample", "to_grey"]

#: Pixels that percentiles are taken of. At 0.3 per cent they are right to 0.01 per cent of the pixels.
SAMPLE: Final = 1 << 18

#: One of so many values tells about where a rank is found, give or take so many of those.
_COARSE: Final = 64
_MARGIN: Final = 32


class Sampler:
    """Takes an even sample of pixels that come by pieces; all of them where there are no more than `SAMPLE`.

    Parameters
    ----------
    size
        Pixels of the whole picture, of which these may be a part.
    columns
        Length of a row.
    """

    def __init__(self, size: int, columns: int) -> None:
        self._stride = _stride(size, columns)
        self._next = 0
        self._taken: list[NDArray[np.float32]] = []

    def take(self, pixels: NDArray[Any]) -> None:
        """Look at the next rows, whose memory may be used anew afterwards."""
        flat = pixels.reshape(-1)
        self._taken.append(flat[self._next :: self._stride].astype(np.float32))
        self._next = (self._next - flat.size) % self._stride

    def sample(self) -> NDArray[np.float32]:
        """Return the sample of what has come so far."""
        return np.concatenate(self._taken)


def limits_of_pixels(pixels: NDArray[Any], percentile: float) -> tuple[float, float]:
    """Percentiles p and 100 - p: exact where there are no more pixels than `SAMPLE`, else of a sample.

    Raises
    ------
    NoPreview
        ``no_finite_pixels``.
    """
    sampler = Sampler(pixels.size, pixels.shape[-1])
    sampler.take(pixels)
    return limits_of_sample(sampler.sample(), lambda: pixels, percentile)


def limits_of_sample(
    sample: NDArray[np.float32], picture: Callable[[], NDArray[Any]], percentile: float
) -> tuple[float, float]:
    """Percentiles p and 100 - p of a sample, interpolated as `numpy.percentile` does.

    Parameters
    ----------
    sample
        What is no number does not count.
    picture
        Gives the pixels that tell the range where the sample has none: its values are all alike, or none is
        a number.

    Raises
    ------
    NoPreview
        ``no_finite_pixels``.
    """
    values = _finite(sample)
    if values.size == 0:
        values = _finite(picture())
    if values.size == 0:
        raise NoPreview("no_finite_pixels")
    about = np.sort(values[::_COARSE])
    about[0], about[-1] = values.min(), values.max()
    low, high = (_percentile(values, about, percent) for percent in (percentile, 100.0 - percentile))
    return (low, high) if high > low else _range_of_all(low, _finite(picture()))


def to_grey(pixels: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Map values between `low` and `high` to 0 to 255; beyond is clipped, no number is black."""
    with np.errstate(over="ignore", invalid="ignore"):
        grey = (pixels - np.float32(low)) * np.float32(255.0 / (high - low))
    # unlike numpy.clip, fmax makes zero of what is no number
    np.fmax(grey, np.float32(0.0), out=grey)
    np.minimum(grey, np.float32(255.0), out=grey)
    grey += np.float32(0.5)
    return grey.astype(np.uint8)


def _finite(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels.reshape(-1)


def _percentile(values: NDArray[Any], about: NDArray[Any], percent: float) -> float:
    rank = (values.size - 1) * percent / 100.0
    below = int(rank)
    above = min(below + 1, values.size - 1)
    first, ordered = _in_order(values, about, below, above)
    lower, upper = float(ordered[below - first]), float(ordered[above - first])
    return lower + (upper - lower) * (rank - below)


def _in_order(values: NDArray[Any], about: NDArray[Any], below: int, above: int) -> tuple[int, NDArray[Any]]:
    """Sort the values about two ranks; returns the rank of the first of them, and them.

    Some processors are slow at sorts with wide registers (Zen 4): a whole one was a third of a picture.

    Parameters
    ----------
    about
        One in `_COARSE` of the values, in order, between the least and the greatest.
    """
    low = about[max(0, below // _COARSE - _MARGIN)]
    high = about[min(about.size - 1, above // _COARSE + _MARGIN)]
    first = int(np.count_nonzero(values < low))
    near = values[(values >= low) & (values <= high)]
    if first <= below and above < first + near.size:
        return first, np.sort(near)
    return 0, np.sort(values)


def _range_of_all(value: float, pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the extremes of pixels most of which are alike; about the value (mid grey) where all are."""
    smallest, largest = float(pixels.min()), float(pixels.max())
    if largest > smallest:
        return smallest, largest
    margin = max(0.5, abs(value) * 1e-3)
    return value - margin, value + margin


def _stride(size: int, row: int) -> int:
    """Step through flat pixels that leaves about `SAMPLE` of them and does not stay in the same columns."""
    step = -(-size // SAMPLE)
    while step > 1 and np.gcd(step, row) != 1:
        step += 1
    return max(1, step)
