"""Make a picture smaller by means over blocks of pixels, reading each pixel once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fits_dagster.previews.stretch import Sampler

__all__ = ["BOX", "block_of", "cuts", "fit", "mean_columns", "mean_rows", "shrink"]

#: width and height, in pixels, that a preview fits in
BOX = (640, 480)
#: pixels of a strip: few enough that its working copy stays in the cache, and enough that a call is worth it
_CHUNK = 1 << 18


def fit(shape: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the preview of an array of (rows, columns): square pixels, touching the box."""
    rows, columns = shape
    scale = min(BOX[0] / columns, BOX[1] / rows)
    return max(1, round(columns * scale)), max(1, round(rows * scale))


def block_of(shape: tuple[int, int]) -> int:
    """Side of the block of pixels to average: the largest that leaves at least the preview's size."""
    width, height = fit(shape)
    return max(1, min(shape[0] // height, shape[1] // width))


def cuts(first: int, last: int, columns: int, block: int) -> list[int]:
    """Where to cut rows `first` to `last` into strips: whole blocks of rows, few enough for the cache."""
    rows = max(1, _CHUNK // (block * columns)) * block
    return [*range(first, last, rows), last]


def mean_rows(
    strips: Iterable[NDArray[Any]],
    shape: tuple[int, int],
    block: int,
    sampler: Sampler | None = None,
    *,
    out: NDArray[np.float32] | None = None,
    factor: float = 1.0,
) -> NDArray[np.float32]:
    """Means over `block` rows; rows that are left over at the end are dropped.

    Parameters
    ----------
    strips
        The pixels, some rows at a time, cut as by `cuts`.
    shape
        Rows and columns of all strips together.
    sampler
        Is shown every pixel, when it is in the cache already.
    out
        Where the means are written; those for which it has no row are dropped.
    factor
        What the means are multiplied by.
    """
    means = np.empty((shape[0] // block, shape[1]), np.float32) if out is None else out
    first, room, weights = 0, np.empty(0, np.float32), _weights(block, factor)
    for strip in strips:
        if room.size < strip.size:
            room = np.empty(strip.size, np.float32)
        # one number type, whatever the pixels are of; sums of mixed types are ten times slower
        plain = room[: strip.size].reshape(strip.shape)
        # the bytes are put in order first: together with the other conversion it takes a third longer
        np.copyto(plain, strip.astype(strip.dtype.newbyteorder("="), copy=False), casting="unsafe")
        if sampler is not None:
            sampler.take(plain)
        last = min(first + len(plain) // block, len(means))
        blocks = plain[: (last - first) * block].reshape(last - first, block, shape[1])
        # a product with vectors takes half the time of a sum over an axis
        np.matmul(weights, blocks, out=means[first:last])
        first = last
    return means


def mean_columns(pixels: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Means over `block` columns; columns that are left over at the end are dropped."""
    rows, count = len(pixels), pixels.shape[1] // block
    means: NDArray[np.float32] = pixels[:, : count * block].reshape(rows, count, block) @ _weights(block)
    return means


def _weights(block: int, factor: float = 1.0) -> NDArray[np.float32]:
    return np.full(block, factor / block, np.float32)


def shrink(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Shrink (rows, columns) to about the size of a preview; what is no number does not count."""
    block = block_of((pixels.shape[0], pixels.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):
        small = _means(pixels, block)
    if pixels.dtype.kind == "f" and block > 1 and not np.isfinite(small).all():
        finite = np.isfinite(pixels)
        kept = _means(np.where(finite, pixels, 0), block)
        share = _means(finite, block)
        with np.errstate(invalid="ignore", divide="ignore"):
            small = kept / share
    return small


def _means(pixels: NDArray[Any], block: int) -> NDArray[np.float32]:
    rows, columns = pixels.shape
    strips = (pixels[first:last] for first, last in pairwise(cuts(0, rows, columns, block)))
    return mean_columns(mean_rows(strips, (rows, columns), block), block)
