"""Detectors of several extensions put together: GMOS and GSAOI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fits_dagster.previews.reading import Image, Pixels
from fits_dagster.previews.sections import Section, binning, parse_section
from fits_dagster.previews.shrink import block_of, mean_columns, mean_rows
from fits_dagster.previews.stretch import Counted, count_values, limits_of_counted, limits_of_pixels

__all__ = ["MosaicPart", "amplifier_parts", "array_parts", "paste"]

#: pixels between the arrays of GSAOI; a section that starts at or beyond SECOND is on the far side of the gap
GSAOI_GAP = 125
GSAOI_SECOND = 2000
#: pixels of a mosaic; sections that span more are wrecked
LARGEST_MOSAIC = 1 << 28
#: overscan pixels that the bias level is taken from
OVERSCAN_SAMPLE = 8192


@dataclass(frozen=True)
class MosaicPart:
    """Pixels of one extension, their place in the mosaic (column, row) and what turns them into counts."""

    pixels: Pixels
    x: int
    y: int
    bias: float = 0.0
    gain: float = 1.0


def amplifier_parts(images: list[Image], chip: int, gap: int) -> list[MosaicPart] | None:
    """Amplifiers at their detector sections, chips one gap apart, bias taken off, times the gain.

    Parameters
    ----------
    chip, gap
        Unbinned columns of a chip, and between two.

    Returns
    -------
    list of MosaicPart or None
        None where sections are missing or contradict the arrays.
    """
    parts = []
    for image in images:
        cards = image.hdu.cards
        detector = parse_section(cards.get("DETSEC"))
        if detector is None or len(image.shape) != 2:
            return None
        stored = image.stored()
        data = parse_section(cards.get("DATASEC")) or Section(0, stored.shape[1], 0, stored.shape[0])
        if not data.inside(stored.shape):
            return None
        xbin, ybin = binning(cards.get("CCDSUM"))
        shift = detector.x1 // chip * (gap // xbin)
        gain = cards.get("GAIN")
        factor = float(gain) if isinstance(gain, int | float) and gain > 0 else 1.0
        parts.append(
            MosaicPart(
                pixels=stored[data.y1 : data.y2, data.x1 : data.x2],
                x=detector.x1 // xbin + shift,
                y=detector.y1 // ybin,
                bias=_bias(image, stored),
                gain=factor * image.scale,
            )
        )
    return _to_origin(parts)


def array_parts(images: list[Image]) -> list[MosaicPart] | None:
    """Whole arrays at their detector sections, the gap between them; None where sections are missing."""
    parts = []
    for image in images:
        detector = parse_section(image.hdu.cards.get("DETSEC"))
        if detector is None or len(image.shape) != 2:
            return None
        shift_x, shift_y = (GSAOI_GAP if start >= GSAOI_SECOND else 0 for start in (detector.x1, detector.y1))
        bias = -image.zero / image.scale
        parts.append(
            MosaicPart(image.stored(), detector.x1 + shift_x, detector.y1 + shift_y, bias, image.scale)
        )
    return _to_origin(parts)


def paste(parts: list[MosaicPart], percentile: float) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Put parts together, shrunk to about the size of a preview.

    Rows are averaged part by part, which keeps the whole mosaic from being made; columns after pasting, so
    that neighbours join to the pixel.

    Returns
    -------
    picture : ndarray of float32, (rows, columns)
    limits : (float, float)
        Percentiles p and 100 - p of the mosaic at full size, its empty parts (zero) included.
    """
    shape = (
        max(part.y + len(part.pixels) for part in parts),
        max(part.x + part.pixels.shape[1] for part in parts),
    )
    block = block_of(shape)
    canvas = np.zeros((max(1, shape[0] // block), shape[1]), np.float32)
    for part in parts:
        rows = mean_rows(part.pixels, block)
        rows -= np.float32(part.bias)
        rows *= np.float32(part.gain)
        top = part.y // block
        rows = rows[: len(canvas) - top]
        canvas[top : top + len(rows), part.x : part.x + rows.shape[1]] = rows
    return mean_columns(canvas, block), _limits(parts, shape, canvas, percentile)


def _limits(
    parts: list[MosaicPart], shape: tuple[int, int], canvas: NDArray[np.float32], percentile: float
) -> tuple[float, float]:
    counted: list[Counted] = []
    for part in parts:
        found = count_values(part.pixels)
        if found is None:
            return limits_of_pixels(canvas, percentile)
        counted.append(Counted((found.values - part.bias) * part.gain, found.counts))
    empty = shape[0] * shape[1] - sum(part.pixels.size for part in parts)
    if empty > 0:
        counted.append(Counted(np.zeros(1), np.array([empty])))
    return limits_of_counted(counted, percentile)


def _to_origin(parts: list[MosaicPart]) -> list[MosaicPart] | None:
    """Move parts so that their bounding box begins at zero; None where that is larger than any detector."""
    if not parts:
        return None
    left, bottom = min(part.x for part in parts), min(part.y for part in parts)
    width = max(part.x + part.pixels.shape[1] for part in parts) - left
    height = max(part.y + part.pixels.shape[0] for part in parts) - bottom
    if width * height > LARGEST_MOSAIC:
        return None
    return [MosaicPart(part.pixels, part.x - left, part.y - bottom, part.bias, part.gain) for part in parts]


def _bias(image: Image, stored: Pixels) -> float:
    """Median of the overscan in stored numbers; else what stands for a count of zero."""
    section = parse_section(image.hdu.cards.get("BIASSEC"))
    if section is None or not section.inside(stored.shape):
        return -image.zero / image.scale
    strip = stored[section.y1 : section.y2, section.x1 : section.x2]
    step = max(1, strip.size // OVERSCAN_SAMPLE)
    median = float(np.median(strip[::step].astype(np.float32)))
    return median if np.isfinite(median) else 0.0
