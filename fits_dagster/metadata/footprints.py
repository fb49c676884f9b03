"""Sky footprints of extensions: the four corners of the data section through a tangent projection."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fits_dagster.fits.cards import Cards
from fits_dagster.fits.hdu import HDU

from .values import as_text, number, text, whole

__all__ = ["Footprint", "footprint_of", "footprints"]

Corner = tuple[float, float]
_SECTION: Final = re.compile(r"\[?\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]?")


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where on the sky one extension lies."""

    #: ``<EXTNAME>-<EXTVER>``, unique in the file.
    label: str
    #: RA and Dec of the four corners in degrees, in order round the section.
    corners: tuple[Corner, Corner, Corner, Corner]


def footprints(extensions: Iterable[HDU]) -> list[Footprint]:
    """Return the footprints of all extensions whose axes are ``RA---TAN`` and ``DEC--TAN``.

    Parameters
    ----------
    extensions : iterable of HDU
        Extensions with pixels, in file order.
    """
    found: list[Footprint] = []
    labels: set[str] = set()
    for hdu in extensions:
        corners = footprint_of(hdu)
        if corners is None:
            continue
        name = (hdu.name or "").replace("\x00", "").strip() or "Unknown"
        label = f"{name}-{as_text(hdu.cards.get('EXTVER')) or 'Unknown'}"
        while label in labels:
            label += "x"
        labels.add(label)
        found.append(Footprint(label, corners))
    return found


def footprint_of(hdu: HDU) -> tuple[Corner, Corner, Corner, Corner] | None:
    """Return the sky corners of one extension, or None if it has no tangent projection."""
    cards = hdu.cards
    if as_text(cards.get("CTYPE1")) != "RA---TAN" or as_text(cards.get("CTYPE2")) != "DEC--TAN":
        return None
    reference = [number(cards, key) for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")]
    matrix = _matrix(cards)
    section = _data_section(hdu)
    if matrix is None or section is None or None in reference:
        return None
    ra0, dec0, x0, y0 = (float(value) for value in reference if value is not None)
    x1, x2, y1, y2 = section
    corners = []
    pole = math.sin(math.radians(dec0)), math.cos(math.radians(dec0))
    # outer edges of the pixels, since a star on the edge pixel is inside
    for x, y in ((x1 - 0.5, y1 - 0.5), (x1 - 0.5, y2 + 0.5), (x2 + 0.5, y2 + 0.5), (x2 + 0.5, y1 - 0.5)):
        dx, dy = x - x0, y - y0
        corners.append(
            _deprojected(ra0, pole, matrix[0] * dx + matrix[1] * dy, matrix[2] * dx + matrix[3] * dy)
        )
    return corners[0], corners[1], corners[2], corners[3]


def _matrix(cards: Cards) -> tuple[float, float, float, float] | None:
    """Return the matrix from pixels to degrees: CD, or CDELT with PC or CROTA2."""
    keys = ("1_1", "1_2", "2_1", "2_2")
    if any(f"CD{key}" in cards for key in keys):
        linear = [float(number(cards, f"CD{key}") or 0.0) for key in keys]
        return linear[0], linear[1], linear[2], linear[3]
    step1, step2 = number(cards, "CDELT1"), number(cards, "CDELT2")
    if step1 is None or step2 is None:
        return None
    if any(f"PC{key}" in cards for key in keys):
        defaults = (1.0, 0.0, 0.0, 1.0)
        turn = [
            default if (value := number(cards, f"PC{key}")) is None else float(value)
            for key, default in zip(keys, defaults, strict=True)
        ]
        return step1 * turn[0], step1 * turn[1], step2 * turn[2], step2 * turn[3]
    angle = math.radians(number(cards, "CROTA2") or 0.0)
    sine, cosine = math.sin(angle), math.cos(angle)
    return step1 * cosine, -step2 * sine, step1 * sine, step2 * cosine


def _data_section(hdu: HDU) -> tuple[int, int, int, int] | None:
    """Return x from, x to, y from, y to of DATASEC, one based, ends included; else the whole array."""
    found = _SECTION.fullmatch(text(hdu.cards, "DATASEC") or "")
    if found:
        x1, x2, y1, y2 = (int(part) for part in found.groups())
        return x1, x2, y1, y2
    width, height = whole(hdu.cards, "NAXIS1", "ZNAXIS1"), whole(hdu.cards, "NAXIS2", "ZNAXIS2")
    if not width or not height:
        return None
    return 1, width, 1, height


def _deprojected(ra0: float, pole: tuple[float, float], x: float, y: float) -> Corner:
    """Return the sky position of a point of the tangent plane; all in degrees.

    ``pole`` is sine and cosine of the declination where the plane touches the sky.
    Source: FITS WCS paper II, section 5.1.3 (TAN).
    """
    xi, eta = math.radians(x), math.radians(y)
    sine, cosine = pole
    down = cosine - eta * sine
    ra = math.degrees(math.atan2(xi, down)) + ra0
    dec = math.degrees(math.atan2(sine + eta * cosine, math.hypot(xi, down)))
    return ra % 360.0, dec
