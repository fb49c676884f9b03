"""Chopped and nodded mid-infrared frames: TReCS and michelle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fits_dagster.previews.reading import Image, Pixels

__all__ = ["chop_nod_picture"]

ROWS, COLUMNS = 240, 320
CANVAS = (500, 660)
#: rows and columns of the canvas (row 0 at the bottom): the stack below, the two chop images above
STACK = (slice(0, 240), slice(180, 500))
FIRST = (slice(260, 500), slice(0, 320))
SECOND = (slice(260, 500), slice(340, 660))
DEFAULT_CYCLE = "ABBA"

Plane = NDArray[np.float32]


def chop_nod_picture(images: list[Image], cycle: object = None) -> Plane | None:
    """Stack of the differences, with the two chop (or nod) positions above it.

    Parameters
    ----------
    images : list of Image
        Nod positions in order. Each is (save sets, chop positions, 240, 320), shorter axes missing.
    cycle : object
        ``CYCLE`` of the primary header, the order of the nod positions where they do not name their own.

    Returns
    -------
    ndarray of float32 or None
        (500, 660), or (240, 320) for one image that was not chopped; None where the arrays differ.
    """
    stack: Plane = np.zeros((ROWS, COLUMNS), np.float32)
    chops: list[Plane] = []
    singles: list[Plane] = []
    order = [letter for letter in str(cycle or DEFAULT_CYCLE).upper() if letter in "AB"] or list(
        DEFAULT_CYCLE
    )
    for index, image in enumerate(images):
        planes = _planes(image.hdu.shape, image.stored())
        if planes is None:
            return None
        difference, positions = _difference(planes)
        nod = image.hdu.cards.get("NOD")
        letter = nod.strip().upper() if isinstance(nod, str) and nod.strip() else order[index % len(order)]
        if letter == "B":
            stack -= difference
        else:
            stack += difference
        if index == 0:
            chops = positions
        if index < 2:
            singles.append(difference)
    above = chops or (singles if len(singles) == 2 else [])
    if not above:
        return stack
    canvas: Plane = np.zeros(CANVAS, np.float32)
    canvas[STACK] = stack
    canvas[FIRST], canvas[SECOND] = above
    return canvas


def _planes(shape: tuple[int, ...], stored: Pixels) -> Plane | None:
    """Sum over the save sets: (planes, 240, 320)."""
    if shape[-2:] != (ROWS, COLUMNS) or len(shape) > 4:
        return None
    values = stored.reshape((1,) * (4 - len(shape)) + shape)
    total: Plane = values.sum(axis=0, dtype=np.float64).astype(np.float32)
    return total


def _difference(planes: Plane) -> tuple[Plane, list[Plane]]:
    if len(planes) == 2:
        return planes[0] - planes[1], [planes[0], planes[1]]
    if len(planes) == 3:
        return planes[0], [planes[1], planes[2]]
    return planes[0], []
