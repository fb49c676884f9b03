"""Pixels of images that are compressed by tiles."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any, Final

from numpy.typing import NDArray

from fits_dagster.fits.hdu import HDU
from fits_dagster.fits.progress import note
from fits_dagster.fits.tiles import fault_of_tiles
from fits_dagster.previews.errors import NoPreview

__all__ = ["decoded"]

_PRIMARY: Final = b"".join(
    card.ljust(80) for card in (b"SIMPLE  =                    T", b"BITPIX  =                    8",
                                b"NAXIS   =                    0", b"EXTEND  =                    T", b"END")
).ljust(2880)  # fmt: skip


def decoded(hdu: HDU, index: int, content: bytes) -> NDArray[Any]:
    """Return the pixels of a compressed image, before BSCALE and BZERO.

    Parameters
    ----------
    hdu : HDU
        The table.
    index : int
        Its number in the file, to be told with what is wrong.
    content : bytes
        Header and data of the table.

    Raises
    ------
    NoPreview
        ``unreadable``: the header claims what cannot be, or a tile is damaged.
    """
    place = f"the compressed image in HDU {index}"
    fault = fault_of_tiles(hdu)
    if fault is not None:
        raise NoPreview("unreadable", f"{place}: {fault}")
    from astropy.io import fits

    note(f"decoding {place}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(BytesIO(_PRIMARY + content), do_not_scale_image_data=True) as file:
                pixels: NDArray[Any] = file[1].data
                if pixels is None or pixels.shape != hdu.shape:
                    raise ValueError("the pixels are not those that the header declares")
    except Exception as error:  # the decoders raise whatever they like
        raise NoPreview(
            "unreadable", f"damaged data of the compressed image in HDU {index}: {error}"
        ) from error
    return pixels
