"""The text of an edited header: which cards change, which stay as they are."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .cards import CARD_LENGTH, keyword_of
from .checksum import CHECKSUM_BLANK
from .hdu import HDU, padded

__all__ = ["Edit", "EditError", "EditValue", "edited_cards", "header_bytes", "with_checksum"]

EditValue: TypeAlias = str | int | float | bool | None

#: Keywords on which the structure of the file rests; an edit of them would make another file of it.
_STRUCTURE: Final = re.compile(
    r"SIMPLE|XTENSION|EXTEND|BITPIX|Z?NAXIS\d*|[PG]COUNT|GROUPS|TFIELDS|T(FORM|BCOL|HEAP)\d*|THEAP|END|"
    r"CONTINUE|ZIMAGE|ZTABLE|ZBITPIX|B(ZERO|SCALE)"
)
#: Kept right by the edit itself.
_SUMS: Final = frozenset({"CHECKSUM", "DATASUM"})
_COMMENTARY: Final = frozenset({"", "COMMENT", "HISTORY"})
_KEYWORD: Final = re.compile(r"[A-Z0-9_-]{1,8}")
_LONG_KEYWORD: Final = re.compile(r"[A-Z0-9_-]+( [A-Z0-9_-]+)*")
_LONGEST_KEYWORD: Final = 60
_HISTORY_LENGTH: Final = CARD_LENGTH - 8


class EditError(ValueError):
    """The edit cannot be done; the file is as it was.

    Attributes
    ----------
    reason : str
        Stable word: ``bad_keyword``, ``bad_value``, ``bad_edit``, ``exists``, ``no_such_hdu``, ``changed``,
        or the code of a structural finding.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What is to change in one header. Doing it twice changes nothing the second time."""

    #: Number of the HDU, 0 for the primary.
    hdu: int = 0
    #: Keyword to value, or to (value, comment). The first card of the keyword gets the value and keeps its
    #: place, and its comment unless one is given; a keyword that is missing is appended.
    set: Mapping[str, EditValue | tuple[EditValue, str]] = field(default_factory=dict)
    #: Like `set`, for keywords that must not be there with another value.
    add: Mapping[str, EditValue | tuple[EditValue, str]] = field(default_factory=dict)
    #: Keywords of which every card is removed.
    delete: Sequence[str] = ()
    #: Text of a HISTORY card that is appended if anything changes.
    history: str | None = None


def edited_cards(hdu: HDU, edit: Edit) -> tuple[list[str], list[str]]:
    """Return the cards of a header after an edit, and one line for each change.

    Parameters
    ----------
    hdu : HDU
        The header as it is.
    edit : Edit
        What is to change.

    Returns
    -------
    cards : list of str
        80 characters each, without END; cards that the edit does not name are verbatim.
    changes : list of str
        Empty if the header is already as wanted.

    Raises
    ------
    EditError
        A keyword or value is not possible.
    """
    cards = [hdu.text[i : i + CARD_LENGTH].ljust(CARD_LENGTH) for i in range(0, len(hdu.text), CARD_LENGTH)]
    changes: list[str] = []
    for name in edit.delete:
        changes += _delete(cards, _checked_keyword(name))
    for name, wanted in edit.add.items():
        keyword = _checked_keyword(name)
        value, _ = _value_and_comment(wanted)
        if keyword in hdu.cards and not _is_same(hdu.cards[keyword], value):
            raise EditError(f"HDU {edit.hdu} has a keyword {keyword} already", "exists")
    for name, wanted in {**edit.add, **edit.set}.items():
        value, comment = _value_and_comment(wanted)
        changes += _set(cards, hdu, _checked_keyword(name), value, comment)
    if changes and edit.history:
        _append(cards, _history_cards(edit.history))
    return cards, changes


def header_bytes(cards: Sequence[str]) -> bytes:
    """Return cards with END, filled with blanks to whole blocks."""
    text = "".join(cards) + "END"
    return text.ljust(padded(len("".join(cards)) + CARD_LENGTH)).encode("latin-1")


def with_checksum(cards: Sequence[str], value: str = CHECKSUM_BLANK) -> list[str]:
    """Return cards with the text of CHECKSUM replaced, in fixed format."""
    position = _find(cards, "CHECKSUM")
    assert position is not None
    comment = cards[position].partition("/")[2].strip()
    card = f"CHECKSUM= '{value}'   / {comment}"[:CARD_LENGTH].ljust(CARD_LENGTH)
    return [*cards[:position], card, *cards[position + 1 :]]


def _checked_keyword(name: str) -> str:
    keyword = name.upper().strip()
    if _STRUCTURE.fullmatch(keyword) or keyword in _SUMS or keyword in _COMMENTARY:
        raise EditError(f"{name!r} is not a keyword that an edit may change", "bad_keyword")
    if not _KEYWORD.fullmatch(keyword) and not (
        _LONG_KEYWORD.fullmatch(keyword) and len(keyword) <= _LONGEST_KEYWORD
    ):
        raise EditError(f"{name!r} is no FITS keyword", "bad_keyword")
    return keyword


def _value_and_comment(wanted: EditValue | tuple[EditValue, str]) -> tuple[EditValue, str | None]:
    value, comment = wanted if isinstance(wanted, tuple) else (wanted, None)
    for text in (value, comment):
        if isinstance(text, str) and not (text.isascii() and (text.isprintable() or not text)):
            raise EditError(f"{text!r} has characters that a header cannot hold", "bad_value")
    if isinstance(value, float) and not math.isfinite(value):
        raise EditError(f"{value!r} cannot be written in a header", "bad_value")
    return value, comment


def _is_same(old: object, new: EditValue) -> bool:
    return type(old) is type(new) and old == new


def _set(cards: list[str], hdu: HDU, keyword: str, value: EditValue, comment: str | None) -> list[str]:
    position = _find(cards, keyword)
    if position is None:
        _append(cards, _card(keyword, value, comment or ""))
        return [f"{keyword} = {value!r}"]
    old = hdu.cards.get(keyword)
    end = _end_of(cards, position)
    kept = _comment_of("".join(cards[position:end]))
    if _is_same(old, value) and (comment is None or comment == kept):
        return []
    cards[position:end] = _card(keyword, value, kept if comment is None else comment)
    return [f"{keyword} = {value!r}, was {old!r}"]


def _delete(cards: list[str], keyword: str) -> list[str]:
    removed = []
    while (position := _find(cards, keyword)) is not None:
        removed.append(f"{keyword} removed: {cards[position].rstrip()}")
        del cards[position : _end_of(cards, position)]
    return removed


def _append(cards: list[str], new: Sequence[str]) -> None:
    """Put cards at the end; blank ones there are room that the writer has kept."""
    end = len(cards)
    while end and not cards[end - 1].strip():
        end -= 1
    cards[end : min(end + len(new), len(cards))] = new


def _find(cards: Sequence[str], keyword: str) -> int | None:
    for position, card in enumerate(cards):
        if keyword_of(card) == keyword:
            return position
    return None


def _end_of(cards: Sequence[str], position: int) -> int:
    """Return where the cards of one keyword end: after the last CONTINUE."""
    end = position + 1
    while end < len(cards) and cards[end].startswith("CONTINUE"):
        end += 1
    return end


def _card(keyword: str, value: EditValue, comment: str) -> list[str]:
    from astropy.io.fits import Card

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a comment that is cut, a long keyword that becomes HIERARCH
        try:
            image = str(Card(keyword, value, comment))
        except Exception as error:  # astropy raises several kinds for one cause: it cannot be written
            raise EditError(f"{keyword} = {value!r} cannot be written: {error}", "bad_value") from error
    return [image[i : i + CARD_LENGTH].ljust(CARD_LENGTH) for i in range(0, len(image), CARD_LENGTH)]


def _comment_of(image: str) -> str:
    from astropy.io.fits import Card

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(Card.fromstring(image).comment)
    except Exception:  # a card that cannot be read is replaced all the same
        return ""


def _history_cards(text: str) -> list[str]:
    _value_and_comment(text)
    return [
        f"HISTORY {text[i : i + _HISTORY_LENGTH]}".ljust(CARD_LENGTH)
        for i in range(0, len(text), _HISTORY_LENGTH)
    ]
