"""One header-data unit as far as its header tells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from .cards import CARD_LENGTH, Cards, Value

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["BLOCK", "HDU", "axes_of", "data_bytes_of", "padded"]

BLOCK: Final = 2880
#: FITS allows 999 axes; more is a wrecked card.
MAX_AXES: Final = 999


@dataclass(frozen=True)
class HDU:
    """Header of one HDU and the place of its data; a value that can be pickled and sent about.

    Parsed forms are made when first used and are not sent along.
    """

    #: The cards, 80 characters each, without END; bytes beyond ASCII are read as Latin-1.
    text: str
    #: Offset of the header in the (uncompressed) file, bytes.
    offset: int = 0
    #: Offset of the data in the (uncompressed) file, bytes.
    data_offset: int = 0
    #: Size of the data as the header declares it, without the padding, bytes.
    data_bytes: int = 0

    @cached_property
    def cards(self) -> Cards:
        """Fast access to the values by keyword."""
        return Cards(self.text)

    @cached_property
    def header(self) -> Header:
        """The header as astropy reads it."""
        from astropy.io.fits import Header

        return Header.fromstring(self.text)

    @property
    def bitpix(self) -> int | None:
        """Bits per pixel (negative for floating point); of a compressed image those of the image."""
        return _whole(self.cards.get("ZBITPIX" if self.is_compressed_image else "BITPIX"))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Axis lengths, slowest first as in numpy; of a compressed image those of the image."""
        prefix = "ZNAXIS" if self.is_compressed_image else "NAXIS"
        return tuple(reversed(axes_of(self.cards, prefix) or ()))

    @property
    def is_primary(self) -> bool:
        """Whether this is a primary HDU."""
        return "XTENSION" not in self.cards

    @property
    def is_image(self) -> bool:
        """Whether this is a primary or image extension, or a compressed image kept in a table."""
        return self._kind in (None, "IMAGE") or self.is_compressed_image

    @property
    def has_pixels(self) -> bool:
        """Whether this is an image with at least one pixel."""
        return self.is_image and bool(self.shape) and all(self.shape)

    @property
    def name(self) -> str | None:
        """``EXTNAME``, or None."""
        value = self.cards.get("EXTNAME")
        return value if isinstance(value, str) and value else None

    @property
    def lines(self) -> list[str]:
        """The cards with trailing blanks cut, one per item."""
        text = self.text
        return [text[i : i + CARD_LENGTH].rstrip() for i in range(0, len(text), CARD_LENGTH)]

    @property
    def is_compressed_image(self) -> bool:
        """Whether this is a table that holds an image compressed by tiles."""
        return self._kind == "BINTABLE" and self.cards.get("ZIMAGE") is True

    @property
    def _kind(self) -> str | None:
        # some writers use small letters
        kind = self.cards.get("XTENSION")
        return None if kind is None else str(kind).strip().upper()

    def __getstate__(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "offset": self.offset,
            "data_offset": self.data_offset,
            "data_bytes": self.data_bytes,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def axes_of(cards: Cards, prefix: str = "NAXIS") -> tuple[int, ...] | None:
    """Return NAXIS1, NAXIS2 ... or None if NAXIS or one of them is no whole number of zero or more."""
    count = _whole(cards.get(prefix))
    if count is None or not 0 <= count <= MAX_AXES:
        return None
    axes = []
    for number in range(1, count + 1):
        length = _whole(cards.get(f"{prefix}{number}"))
        if length is None or length < 0:
            return None
        axes.append(length)
    return tuple(axes)


def data_bytes_of(cards: Cards) -> int | None:
    """Return the size of the data in bytes, without padding, or None if the header does not tell.

    Source: FITS standard 4.0 sections 4.4.1.2 (conforming extensions) and 6 (random groups).
    """
    bitpix, axes = _whole(cards.get("BITPIX")), axes_of(cards)
    if bitpix is None or axes is None:
        return None
    if not axes:
        return 0
    parameters, groups = 0, 1
    if "XTENSION" in cards or cards.get("GROUPS") is True:
        found_parameters, found_groups = _whole(cards.get("PCOUNT", 0)), _whole(cards.get("GCOUNT", 1))
        if found_parameters is None or found_groups is None or min(found_parameters, found_groups) < 0:
            return None
        parameters, groups = found_parameters, found_groups
    if axes[0] == 0 and cards.get("GROUPS") is True:
        axes = axes[1:]
    elements = 1
    for length in axes:
        elements *= length
    return abs(bitpix) // 8 * groups * (parameters + elements)


def padded(size: int) -> int:
    """Return the size rounded up to whole FITS blocks of 2880 bytes."""
    return -(-size // BLOCK) * BLOCK


def _whole(value: Value) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return None
