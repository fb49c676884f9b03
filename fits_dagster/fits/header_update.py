"""A change of headers that stands for the transfer of a file: the cards, the content before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from .edited import EditValue

__all__ = ["HINT", "CardList", "HeaderUpdate", "restored_cards", "stored_cards"]

#: Keywords and values, in order.
CardList: TypeAlias = Sequence[tuple[str, EditValue]]

#: Key of the hint in the payload of a work item.
HINT: Final = "header_update"

#: From here on JSON has an exponent, which PostgreSQL expands: nobody could tell it from an integer.
_LARGE: Final = 1e16


@dataclass(frozen=True)
class HeaderUpdate:
    """A hint: these keywords and values, set one after the other, make the one content of the other."""

    cards: CardList
    data_md5_before: str
    data_md5_after: str

    def as_payload(self) -> dict[str, Any]:
        """Return it as part of a work item's payload."""
        return {
            HINT: {
                "cards": stored_cards(self.cards),
                "data_md5_before": self.data_md5_before,
                "data_md5_after": self.data_md5_after,
            }
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> HeaderUpdate | None:
        """Return the hint in a payload, or None."""
        hint = payload.get(HINT)
        if not isinstance(hint, dict):
            return None
        return cls(restored_cards(hint["cards"]), hint["data_md5_before"], hint["data_md5_after"])


def stored_cards(cards: CardList) -> list[list[Any]]:
    """Write cards so that a float is still one when the database gives it back."""
    return [
        [keyword, {"float": repr(value)} if isinstance(value, float) and abs(value) >= _LARGE else value]
        for keyword, value in cards
    ]


def restored_cards(cards: Iterable[Sequence[Any]]) -> CardList:
    """Read cards that :func:`stored_cards` wrote."""
    return tuple(
        (keyword, float(value["float"]) if isinstance(value, dict) else value) for keyword, value in cards
    )
