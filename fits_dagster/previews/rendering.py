"""Render a preview: choose the picture, stretch, flip, encode.

Source: the reference system's preview rules, NaN and zero ranges treated.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from fits_dagster.metadata.pictures import Picture
from fits_dagster.metadata.registry import translator_class
from fits_dagster.previews.chopnod import chop_nod_picture
from fits_dagster.previews.errors import NoPreview
from fits_dagster.previews.info import Layout, PreviewInfo
from fits_dagster.previews.mosaic import amplifier_parts, array_parts, paste
from fits_dagster.previews.reading import Image, OpenFile, Pixels, open_images
from fits_dagster.previews.shrink import block_of, cuts, fit, mean_columns, mean_rows, shrink
from fits_dagster.previews.stretch import Sampler, limits_of_pixels, limits_of_sample, to_grey

__all__ = ["PreviewRequest", "drawn", "render", "rendered"]

#: percentile left out at each end
PERCENTILE = 0.3
AMPLIFIERS_PERCENTILE = 5.0
#: planes of a cube that are averaged at most, evenly spread
CUBE_PLANES = 48
JPEG_QUALITY = 88

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class PreviewRequest:
    """What is known of the frame beside its pixels.

    Attributes
    ----------
    instrument : str or None
        Official spelling; its rules say what a preview shows.
    tags : frozenset of str
        Classification tags; ``BUNDLE`` matters for :attr:`Picture.BUNDLE`.
    """

    instrument: str | None
    tags: frozenset[str] = frozenset()


def render(path: Path, description: PreviewRequest, out: BinaryIO | Path) -> PreviewInfo:
    """Make the preview of a file as a grey JPEG that fits in 640 by 480 pixels, first row at the bottom.

    Parameters
    ----------
    path : Path
        FITS file, plain or ``.bz2``.
    description : PreviewRequest
        Instrument and tags, which choose the layout.
    out : BinaryIO or Path
        Where the JPEG goes. A path is replaced at once, when the picture is complete.

    Returns
    -------
    PreviewInfo

    Raises
    ------
    NoPreview
        There is nothing to show; `NoPreview.reason` says why.
    OSError
        The file is not there, or the output cannot be written.
    """
    info, jpeg = rendered(path, description)
    _deliver(jpeg, out)
    return info


def rendered(path: Path, description: PreviewRequest) -> tuple[PreviewInfo, bytes]:
    """Make the preview of a file; see `render`. What it returns can travel between processes.

    Returns
    -------
    info : PreviewInfo
    jpeg : bytes
    """
    with open_images(path) as file:
        return drawn(file, description)


def drawn(file: OpenFile, description: PreviewRequest) -> tuple[PreviewInfo, bytes]:
    """Make the preview of an open file; see `render`."""
    try:
        picture, (low, high), layout = _picture(file, description)
    except MemoryError as error:
        raise NoPreview("unreadable", "its pixels need more memory than there is") from error
    grey = to_grey(picture, low, high)
    size = fit((picture.shape[0], picture.shape[1]))
    jpeg = _encode(grey[::-1], size)
    info = PreviewInfo(width=size[0], height=size[1], size=len(jpeg), layout=layout, low=low, high=high)
    return info, jpeg


_Rendered = tuple[NDArray[np.float32], tuple[float, float], Layout]


def _picture(file: OpenFile, description: PreviewRequest) -> _Rendered:
    """The picture by the rules of the instrument; the first extension where its keywords forbid them."""
    rules, images = translator_class(description.instrument), file.images
    match rules.picture:
        case Picture.AMPLIFIERS if len(images) > 1:
            parts = amplifier_parts(images, rules.chip_columns, rules.chip_gap)
            if parts is not None:
                return *paste(parts, AMPLIFIERS_PERCENTILE), "mosaic"
        case Picture.ARRAYS:
            parts = array_parts(images)
            if parts is not None:
                return *paste(parts, PERCENTILE), "mosaic"
        case Picture.CHOP_NOD:
            picture = chop_nod_picture(images, file.primary.cards.get("CYCLE"))
            if picture is not None:
                return shrink(picture), limits_of_pixels(picture, PERCENTILE), "chop_nod"
        case Picture.BUNDLE if "BUNDLE" in description.tags and len(images) > 1:
            return _single(images[1])
    return _single(images[0])


def _single(image: Image) -> _Rendered:
    shape = image.shape
    if len(shape) < 2:
        raise NoPreview(
            "one_dimensional" if math.prod(shape) > 1 else "empty_image", f"shape {image.hdu.shape}"
        )
    layout: Layout = "image" if len(shape) == 2 else "cube"
    if layout == "image":
        small, limits = _flat(image)
    else:
        plane = _collapse(image.planes(CUBE_PLANES))
        small, limits = shrink(plane), limits_of_pixels(plane, PERCENTILE)
    ends = [limit * image.scale + image.zero for limit in limits]
    return small * np.float32(image.scale) + np.float32(image.zero), (min(ends), max(ends)), layout


def _flat(image: Image) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """An image of two axes, in stored numbers; it is read again only where some are no numbers."""
    rows, columns = image.shape
    block, sampler = block_of((rows, columns)), Sampler(rows * columns, columns)
    strips = image.strips(cuts(0, rows, columns, block))
    with np.errstate(invalid="ignore", over="ignore"):
        small = mean_columns(mean_rows(strips, (rows, columns), block, sampler), block)
    if block > 1 and not np.isfinite(small).all():
        small = shrink(image.stored())
    return small, limits_of_sample(sampler.sample(), image.stored, PERCENTILE)


def _collapse(planes: Pixels) -> NDArray[np.float32]:
    """Mean of the planes; what is no number does not count."""
    values = planes.astype(np.float32)
    finite = np.isfinite(values)
    if finite.all():
        mean: NDArray[np.float32] = values.mean(axis=0)
        return mean
    values[~finite] = 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(values.sum(axis=0) / finite.sum(axis=0), np.float32)


def _encode(grey: Grey, size: tuple[int, int]) -> bytes:
    picture = Pillow.fromarray(np.ascontiguousarray(grey))
    if picture.size != size:
        shrinking = picture.size[0] >= size[0]
        picture = picture.resize(size, Pillow.Resampling.BOX if shrinking else Pillow.Resampling.NEAREST)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _deliver(jpeg: bytes, out: BinaryIO | Path) -> None:
    if not isinstance(out, Path):
        out.write(jpeg)
        return
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(jpeg)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
