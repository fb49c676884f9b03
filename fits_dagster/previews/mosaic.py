"""Detectors of several extensions put together: GMOS and GSAOI."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fits_dagster.previews.reading import Image, Pixels
from fits_dagster.previews.sections import Section, binning, parse_section
from fits_dagster.previews.shrink import block_of, cuts, mean_columns, mean_rows
from fits_dagster.previews.stretch import Sampler, limits_of_sample

__all__ = ["MosaicPart", "amplifier_parts", "array_parts", "paste"]

#: pixels between the arrays of GSAOI; a section that starts at or beyond SECOND is on the far side of the gap
GSAOI_GAP = 125
GSAOI_SECOND = 2000
#: pixels of a mosaic; sections that span more are wrecked
LARGEST_MOSAIC = 1 << 28
#: overscan pixels that the bias level is taken from: their median is right to a thirtieth of their noise
OVERSCAN_SAMPLE = 2048


@dataclass(frozen=True)
class MosaicPart:
    """What is shown of one extension, and its place in the mosaic (column, row); pixels are read when due."""

    image: Image
    section: Section
    x: int
    y: int
    #: What the level of the bias is taken from; without, it is what stands for a count of zero.
    overscan: Section | None = None
    #: Counts of a stored step.
    gain: float = 1.0

    def shrink(self, block: int, size: int, canvas: NDArray[np.float32]) -> NDArray[np.float32]:
        """Read the pixels once, put means over `block` rows in their place; return the part of the sample.

        Parameters
        ----------
        size
            Pixels of the whole mosaic.
        canvas
            The mosaic, of means over `block` rows, in counts as the sample.

        Raises
        ------
        NoPreview
            See `Image.stored`.
        """
        shape = self.section.shape
        sampler, overscan = Sampler(size, shape[1]), _Overscan(self.image, self.overscan)
        top = self.y // block
        place = canvas[top : top + shape[0] // block, self.x : self.x + shape[1]]
        mean_rows(self._strips(block, overscan), shape, block, sampler, out=place, factor=self.gain)
        bias, sample = overscan.bias(), sampler.sample()
        place -= np.float32(bias * self.gain)
        sample -= np.float32(bias)
        sample *= np.float32(self.gain)
        return sample

    def _strips(self, block: int, overscan: _Overscan) -> Iterator[Pixels]:
        """Give what is shown of the rows, and show the overscan of all of them to whom it concerns."""
        rows, columns = self.image.shape
        places = cuts(self.section.y1, self.section.y2, columns, block)
        at = sorted({0, *places, rows})
        for first, strip in zip(at[:-1], self.image.strips(at), strict=True):
            overscan.look(first, strip)
            if self.section.y1 <= first < self.section.y2:
                yield strip[:, self.section.x1 : self.section.x2]


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
        data = parse_section(cards.get("DATASEC")) or _whole(image)
        if not data.inside(image.shape):
            return None
        xbin, ybin = binning(cards.get("CCDSUM"))
        shift = detector.x1 // chip * (gap // xbin)
        gain = cards.get("GAIN")
        factor = float(gain) if isinstance(gain, int | float) and gain > 0 else 1.0
        parts.append(
            MosaicPart(
                image,
                data,
                x=detector.x1 // xbin + shift,
                y=detector.y1 // ybin,
                overscan=parse_section(cards.get("BIASSEC")),
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
        parts.append(
            MosaicPart(image, _whole(image), detector.x1 + shift_x, detector.y1 + shift_y, gain=image.scale)
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
    height, width = _extent(parts)
    block = block_of((height, width))
    canvas = np.zeros((max(1, height // block), width), np.float32)
    samples, shown = [], 0
    for part in parts:
        samples.append(part.shrink(block, height * width, canvas))
        shown += math.prod(part.section.shape)
    # what no part covers is zero, and counts as the rest does
    empty = max(0, height * width - shown) * sum(map(len, samples)) // shown
    sample = np.concatenate([*samples, np.zeros(empty, np.float32)])
    return mean_columns(canvas, block), limits_of_sample(sample, lambda: canvas, percentile)


def _whole(image: Image) -> Section:
    rows, columns = image.shape
    return Section(0, columns, 0, rows)


def _extent(parts: list[MosaicPart]) -> tuple[int, int]:
    """Return where the last row and the last column end."""
    return (
        max(part.y + part.section.shape[0] for part in parts),
        max(part.x + part.section.shape[1] for part in parts),
    )


def _to_origin(parts: list[MosaicPart]) -> list[MosaicPart] | None:
    """Move parts so that their bounding box begins at zero; None where that is larger than any detector."""
    if not parts:
        return None
    left, bottom = min(part.x for part in parts), min(part.y for part in parts)
    moved = [replace(part, x=part.x - left, y=part.y - bottom) for part in parts]
    height, width = _extent(moved)
    return moved if width * height <= LARGEST_MOSAIC else None


class _Overscan:
    """Some rows of an image's overscan, taken while they go by, and their median."""

    def __init__(self, image: Image, section: Section | None) -> None:
        self._image = image
        self._section = section if section is not None and section.inside(image.shape) else None
        pixels = math.prod(self._section.shape) if self._section is not None else 0
        self._step = max(1, pixels // OVERSCAN_SAMPLE)
        self._taken: list[NDArray[np.float32]] = []

    def look(self, first: int, strip: Pixels) -> None:
        """Take what is wanted of rows of the image, as stored, of which `first` is the first."""
        section, step = self._section, self._step
        if section is None:
            return
        begin, end = max(section.y1, first), min(section.y2, first + len(strip))
        begin += (section.y1 - begin) % step
        if begin < end:
            rows = strip[begin - first : end - first : step, section.x1 : section.x2]
            self._taken.append(rows.astype(np.float32))

    def bias(self) -> float:
        """Median in stored numbers; without an overscan, what stands for a count of zero."""
        if self._section is None:
            return -self._image.zero / self._image.scale
        values = np.concatenate(self._taken).reshape(-1)
        values.sort()
        middle = (float(values[(values.size - 1) // 2]) + float(values[values.size // 2])) / 2
        # what is no number is sorted to the end
        return middle if math.isfinite(middle) and not math.isnan(values[-1]) else 0.0
