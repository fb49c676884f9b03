"""Numbers and texts that rules derive from the facts about a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["FUNCTIONS"]

#: GMOS gratings whose ruling sets the scale; what is not here counts as 1200 lines per mm.
_GMOS_GRATINGS: Final = frozenset({"B480", "B600", "R600", "R400", "R831", "R150", "B1200"})
_GMOS_DISPERSION: Final = 0.03
_DEFAULT_RULING: Final = 1200.0


def divide_by_cosine(angle: Any, elevation: Any) -> float | None:
    """Return an angle on the sky as one of the rotator: divided by the cosine of the elevation, degrees."""
    if angle is None or elevation is None:
        return None
    return float(angle) / math.cos(math.radians(float(elevation)))


def gmos_pixels(disperser: Any, pixels: Any) -> float:
    """Return the wavelength range of a number of GMOS pixels, micrometres."""
    name = (disperser or "").split("_G")[0].strip("+")
    ruling = float("".join(filter(str.isdigit, name))) if name in _GMOS_GRATINGS else _DEFAULT_RULING
    return float(pixels) * (_GMOS_DISPERSION / ruling)


def second_part(text: Any) -> str | None:
    """Return the second of the parts that ``&`` joins (GNIRS: the decker), or None."""
    parts = text.split("&") if isinstance(text, str) else []
    return parts[1] if len(parts) > 1 else None


FUNCTIONS: Final[Mapping[str, Callable[..., float | str | None]]] = {
    "divide_by_cosine": divide_by_cosine,
    "gmos_pixels": gmos_pixels,
    "second_part": second_part,
}
