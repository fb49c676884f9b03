"""A fast, lazy reader of header cards.

A header is indexed once (keyword to position) and a card is parsed only when it is asked for.
Values are those that astropy gives; forms beyond the common ones are left to astropy itself.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

__all__ = ["CARD_LENGTH", "Cards", "Value", "as_utf8", "keyword_of"]

Value: TypeAlias = str | int | float | bool | complex | None

CARD_LENGTH: Final = 80
KEYWORD_LENGTH: Final = 8

_VALUE: Final = re.compile(
    r" *(?:"
    r"'(?P<text>(?:[^']|'')*)'(?=$|[/ ])"
    r"|(?P<integer>[+-]?\d+)(?=$|[/ ])"
    r"|(?P<real>[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?)(?=$|[/ ])"
    r"|(?P<logical>[TF])(?=$|[/ ])"
    r"|(?P<undefined>(?=/|$))"
    r") *(?:/.*)?$",
    re.DOTALL,
)
_EXPONENT: Final = str.maketrans("dD", "EE")
_COMMENTARY: Final = frozenset({"", "COMMENT", "HISTORY", "END", "CONTINUE"})
_COMMENTS: Final = ("COMMENT ", "HISTORY ", " " * KEYWORD_LENGTH)
_HIERARCH: Final = "HIERARCH"
_CONTINUE: Final = "CONTINUE"
#: The first eight characters of a card that is as the standard wants it.
_REGULAR: Final = re.compile(r"[^\s=]* *")
#: Such eight characters, joined by commas, that one look at all tells whether any is not regular.
_SUSPECT: Final = re.compile(r"[^\S ]|=|(?:^|,) +[^ ,]")


def keyword_of(card: str) -> str:
    """Return the keyword of a card, upper case; empty for a blank one.

    As astropy reads it: the sign may stand before column nine, and blanks and tabs round the keyword do not
    count.

    Parameters
    ----------
    card : str
        80 characters.
    """
    word = _ascii_upper(card[:KEYWORD_LENGTH].strip())
    if word in _COMMENTARY:
        return word
    if word == _HIERARCH and card[KEYWORD_LENGTH : KEYWORD_LENGTH + 1] == " " and "=" in card:
        return _ascii_upper(card.split("=", 1)[0][KEYWORD_LENGTH + 1 :].strip())
    sign = card.find("=", 0, KEYWORD_LENGTH)
    if sign > 0 and card[sign + 1 : sign + 2] in (" ", "\t"):
        return _ascii_upper(card[:sign].strip())
    return word


def as_utf8(text: str) -> str:
    """Return text that was read as Latin-1 as the UTF-8 that it is; as it is where it is none."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


class Cards(Mapping[str, Value]):
    """Keywords and values of one header; of a repeated keyword the first card counts.

    Parameters
    ----------
    text : str
        The cards, 80 characters each, without END. Keywords are found in any letter case.

    Notes
    -----
    A card without value, and a card whose value cannot be read, is there (``key in cards``) with the
    value None. Commentary cards are counted but have no value. Source: FITS standard 4.0 section 4.
    """

    __slots__ = ("_is_continued", "_joined", "_long", "_positions", "_values", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        upper = text.upper() if text.isascii() else _ascii_upper(text)
        last = (len(upper) - 1) // CARD_LENGTH * CARD_LENGTH
        # from the end, so that the first card of a repeated keyword stays
        self._positions = {upper[i : i + KEYWORD_LENGTH]: i for i in range(last, -1, -CARD_LENGTH)}
        self._is_continued = _CONTINUE in self._positions
        self._values: dict[str, Value] = {}
        self._long: dict[str, int] | None = None
        self._joined = ",".join(self._positions)
        if _SUSPECT.search(self._joined):
            self._index_irregular([key for key in self._positions if not _REGULAR.fullmatch(key)])
            self._joined = ",".join(self._positions)

    def __getitem__(self, key: str) -> Value:
        if key in self._values:
            return self._values[key]
        position = self._position(key)
        if position is None:
            raise KeyError(key)
        return self._read(key, position)

    def get(self, key: str, default: Value = None) -> Value:  # type: ignore[override]
        """Return the value of a keyword, or the default if it is not there."""
        if key in self._values:
            return self._values[key]
        position = self._position(key)
        return default if position is None else self._read(key, position)

    def _read(self, key: str, position: int) -> Value:
        parsed = self._parse(position)
        if isinstance(parsed, str) and not parsed.isascii():
            parsed = as_utf8(parsed)
        self._values[key] = parsed
        return parsed

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._position(key) is not None

    def __iter__(self) -> Iterator[str]:
        for key in self._positions:
            if (name := key.rstrip(" ")) not in _COMMENTARY and name != "HIERARCH":
                yield name
        yield from self._long_keywords()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def card(self, key: str) -> str | None:
        """Return the text of the card with this keyword, 80 characters, or None."""
        position = self._position(key)
        return None if position is None else self.text[position : position + CARD_LENGTH]

    @property
    def are_plain(self) -> bool:
        """Whether each card is a comment, or has a value of the common forms."""
        text = self.text
        for start in range(0, len(text), CARD_LENGTH):
            if text[start + 8 : start + 10] == "= ":
                if _VALUE.match(text, start + 10, start + CARD_LENGTH) is None:
                    return False
            elif not text.startswith(_COMMENTS, start):
                return False
        return True

    def has_keyword_containing(self, part: str) -> bool:
        """Tell whether any keyword contains ``part`` (upper case)."""
        return part in self._joined or any(part in key for key in self._long_keywords())

    def _position(self, key: str) -> int | None:
        # nearly all are asked for as they stand there
        position = self._positions.get(key.ljust(KEYWORD_LENGTH))
        if position is not None:
            return position
        upper = key.upper() if key.isascii() else _ascii_upper(key)
        if upper != key and (position := self._positions.get(upper.ljust(KEYWORD_LENGTH))) is not None:
            return position
        return self._long_keywords().get(upper) if _HIERARCH in self._positions else None

    def _long_keywords(self) -> dict[str, int]:
        if self._long is None:
            self._long = {}
            if _HIERARCH in self._positions:
                for i in range(0, len(self.text), CARD_LENGTH):
                    card = self.text[i : i + CARD_LENGTH]
                    if (
                        card[: len(_HIERARCH)].upper() == _HIERARCH
                        and (name := keyword_of(card)) != _HIERARCH
                    ):
                        self._long.setdefault(name, i)
        return self._long

    def _index_irregular(self, irregular: list[str]) -> None:
        """Index cards such as 'KEY= 5' by their keyword; still the first of a repeated keyword counts."""
        for key in irregular:
            position = self._positions.pop(key)
            name = keyword_of(self.text[position : position + CARD_LENGTH]).ljust(KEYWORD_LENGTH)
            self._positions[name] = min(position, self._positions.get(name, position))

    def _parse(self, position: int) -> Value:
        text, end = self.text, position + CARD_LENGTH
        if text.startswith("= ", position + KEYWORD_LENGTH, end) and not (
            self._is_continued and text[end : end + KEYWORD_LENGTH].upper() == _CONTINUE
        ):
            found = _VALUE.match(text, position + 10, end)
            if found is not None:
                return _value(found)
        return self._parse_unusual(text[position:end], position)

    def _parse_unusual(self, card: str, position: int) -> Value:
        """Let astropy read long strings, HIERARCH cards, complex numbers and free forms."""
        from astropy.io.fits import Card
        from astropy.io.fits.card import Undefined

        image = card.ljust(CARD_LENGTH)
        end = position + CARD_LENGTH
        while self.text[end : end + KEYWORD_LENGTH].upper() == _CONTINUE:
            image += self.text[end : end + CARD_LENGTH].ljust(CARD_LENGTH)
            end += CARD_LENGTH
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = Card.fromstring(image).value
        except Exception:  # astropy raises several kinds for one cause: the value cannot be read
            return None
        return None if isinstance(value, Undefined) else value


def _value(found: re.Match[str]) -> Value:
    kind = found.lastgroup
    text = found[kind] if kind else ""
    if kind == "text":
        return (text.replace("''", "'") if "''" in text else text).rstrip()
    if kind == "integer":
        return int(text)
    if kind == "real":
        return float(text.translate(_EXPONENT))
    if kind == "logical":
        return text == "T"
    return None


def _ascii_upper(text: str) -> str:
    """Return upper case without a change of length (``str.upper`` of some letters makes two)."""
    return text.encode("latin-1", "replace").upper().decode("latin-1")
