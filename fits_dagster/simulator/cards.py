"""Header cards as text: formatting of new ones, padding of given ones, blocks of 2880 bytes.

Source: FITS standard 4.0, sections 3 (organization) and 4 (headers).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["BLOCK", "CARD", "Card", "Value", "fill", "format_card", "header_block", "pad_card", "padding"]

CARD = 80
BLOCK = 2880

Value = str | int | float | bool
Card = tuple[str, Value, str]


def format_card(keyword: str, value: Value, comment: str = "") -> str:
    """Write one card in fixed format.

    Parameters
    ----------
    keyword : str
        At most eight characters; ``COMMENT`` takes `value` as its text.
    value : str, int, float or bool
    comment : str
        Cut where the card is full.

    Returns
    -------
    str
        Exactly 80 characters.

    Raises
    ------
    ValueError
        A text value does not fit on one card.
    """
    if keyword == "COMMENT":
        return f"COMMENT {value}"[:CARD].ljust(CARD)
    match value:
        case bool():
            field = f"{'T' if value else 'F':>20}"
        case int():
            field = f"{value:>20d}"
        case float():
            field = f"{_real(value):>20}"
        case str():
            quoted = value.replace("'", "''")
            field = f"'{quoted:<8}'".ljust(20)
    card = f"{keyword:<8}= {field}"
    if len(card) > CARD:
        raise ValueError(f"{keyword}: text of {len(value)} characters does not fit on a card")  # type: ignore[arg-type]
    return (f"{card} / {comment}" if comment else card)[:CARD].ljust(CARD)


def fill(template: Sequence[Card], values: Mapping[str, Value]) -> list[Card]:
    """Put `values` into a template of cards; keywords that the template lacks are appended."""
    known = {keyword for keyword, _, _ in template}
    cards = [(keyword, values.get(keyword, default), comment) for keyword, default, comment in template]
    cards.extend((keyword, value, "") for keyword, value in values.items() if keyword not in known)
    return cards


def pad_card(text: str) -> str:
    """Make a card of a line whose trailing blanks were cut; what is longer than a card is cut."""
    return text[:CARD].ljust(CARD)


def header_block(cards: Iterable[str]) -> bytes:
    """Join cards of 80 characters, add END and fill with blanks to whole blocks."""
    text = "".join(cards) + "END".ljust(CARD)
    data = text.encode("ascii", errors="replace")
    return data + b" " * padding(len(data))


def padding(length: int) -> int:
    """Bytes missing from `length` to a whole number of blocks."""
    return -length % BLOCK


def _real(value: float) -> str:
    text = repr(value).upper()
    return text if "." in text or "E" in text else f"{text}."
