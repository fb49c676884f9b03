"""Make a picture smaller by means over blocks of pixels, reading each pixel once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOX", "block_of", "fit", "mean_columns", "mean_rows", "shrink"]

#: width and height, in pixels, that a preview fits in
BOX = (640, 480)
#: pixels converted at a time, so that the working copy stays in the cache
_CHUNK = 1 << 17


def fit(shape: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the preview of an array of (rows, columns): square pixels, touching the box."""
    rows, columns = shape
    scale = min(BOX[0] / columns, BOX[1] / rows)
    return max(1, round(columns * scale)), max(1, round(rows * scale))


def block_of(shape: tuple[int, int]) -> int:
    """Side of the block of pixels to average: the largest that leaves at least the preview's size."""
    width, height = fit(shape)
    return max(1, min(shape[0] // height, shape[1] // width))


def mean_rows(pixels: NDArray[Any], block: int) -> NDArray[np.float32]:
    """Means over `block` rows; rows that are left over at the end are dropped."""
    if block == 1:
        return pixels.astype(np.float32)
    count, columns = len(pixels) // block, pixels.shape[1]
    means = np.empty((count, columns), np.float32)
    at_once = max(1, _CHUNK // (block * columns))
    for first in range(0, count, at_once):
        last = min(count, first + at_once)
        # one conversion, whatever the number type and byte order; sums of mixed types are ten times slower
        plain = pixels[first * block : last * block].astype(np.float32)
        np.add.reduce(plain.reshape(last - first, block, columns), axis=1, out=means[first:last])
    means *= np.float32(1.0 / block)
    return means


def mean_columns(pixels: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Means over `block` columns; columns that are left over at the end are dropped."""
    if block == 1:
        return pixels
    count = pixels.shape[1] // block
    total = pixels[:, 0 : count * block : block].copy()
    for column in range(1, block):
        total += pixels[:, column : count * block : block]
    total *= np.float32(1.0 / block)
    return total


def shrink(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Shrink (rows, columns) to about the size of a preview; what is no number does not count."""
    block = block_of((pixels.shape[0], pixels.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):
        small = mean_columns(mean_rows(pixels, block), block)
    if pixels.dtype.kind == "f" and block > 1 and not np.isfinite(small).all():
        finite = np.isfinite(pixels)
        kept = mean_columns(mean_rows(np.where(finite, pixels, 0), block), block)
        share = mean_columns(mean_rows(finite, block), block)
        with np.errstate(invalid="ignore", divide="ignore"):
            small = kept / share
    return small
