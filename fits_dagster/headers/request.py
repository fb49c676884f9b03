"""What a request to edit headers may say, and the cards that it stands for.

An item is read as a whole before anything is done about it. Its values may be a state of quality assessment,
the conditions on site, a release date, and keywords of its own choice, of the primary header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from fits_dagster.fits.edit import Edit, EditError
from fits_dagster.fits.edited import EditValue, edited_cards
from fits_dagster.fits.hdu import HDU
from fits_dagster.fits.header_update import CardList

__all__ = ["HeaderRequest", "RefusedItemError", "check_cards", "read_item"]

_QA_STATES: Final[Mapping[str, tuple[str, str]]] = {
    # RAWGEMQA, RAWPIREQ
    "undefined": ("UNKNOWN", "UNKNOWN"),
    "pass": ("USABLE", "YES"),
    "usable": ("USABLE", "NO"),
    "fail": ("BAD", "NO"),
    "check": ("CHECK", "CHECK"),
}
_PERCENTILES: Final[Mapping[str, Sequence[str]]] = {
    "iq": ("20", "70", "85", "any"),
    "cc": ("50", "70", "80", "any"),
    "bg": ("20", "50", "80", "any"),
    "wv": ("20", "50", "80", "any"),
}
_RAW_SITE: Final[Mapping[str, tuple[str, str]]] = {
    f"{kind}{level}": (f"RAW{kind.upper()}", "Any" if level == "any" else f"{level}-percentile")
    for kind, levels in _PERCENTILES.items()
    for level in levels
}
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_KEYWORD: Final = re.compile(r"[A-Za-z0-9_-]{1,8}")
_NO_KEYWORD: Final = "{!r} is no keyword of at most 8 characters"
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_LONGEST_TEXT: Final = 2000
_LARGEST_INTEGER: Final = 2**63 - 1


class RefusedItemError(ValueError):
    """An item of a request cannot be done; nothing of it was."""

    def __init__(self, message: str, identifier: object = None) -> None:
        super().__init__(message)
        #: File name or data label, as given; None if it is not known.
        self.identifier = identifier


@dataclass(frozen=True, kw_only=True)
class HeaderRequest:
    """One item of a request, read and found possible."""

    #: File name or data label, as given.
    identifier: str
    filename: str | None = None
    data_label: str | None = None
    #: Path in the store; None if it was not said.
    path: str | None = None
    #: Keywords and values that it stands for, in order.
    cards: CardList
    #: Keywords that must be in the header already.
    required: Sequence[str] = ()
    #: The values as given.
    values: Mapping[str, Any] = field(default_factory=dict)
    #: Digests of the uncompressed content before and after, where the asker knows them.
    data_md5_before: str | None = None
    data_md5_after: str | None = None

    @property
    def names_contents(self) -> bool:
        """Whether it says what content it applies to, and what must come of it."""
        return self.data_md5_before is not None and self.data_md5_after is not None


def read_item(item: object) -> HeaderRequest:
    """Read one item of a request.

    Raises
    ------
    RefusedItemError
        It is not understood, or asks for what cannot be; the message says what.
    """
    if not isinstance(item, dict):
        raise RefusedItemError("An item is an object with filename or data_label, and values")
    filename, label = item.get("filename"), item.get("data_label")
    if filename in (None, "") and label in (None, ""):
        raise RefusedItemError("No filename or data_label given")
    identifier = label if filename in (None, "") else filename
    try:
        if filename not in (None, "") and label not in (None, ""):
            raise RefusedItemError("Both filename and data_label given")
        if not isinstance(identifier, str) or not identifier.isprintable():
            raise RefusedItemError("filename or data_label is not a text")
        values = item.get("values")
        if not isinstance(values, dict):
            raise RefusedItemError("values is not an object")
        cards, required = _cards_of(values, _flag(item) or _flag(values))
        return HeaderRequest(
            identifier=identifier,
            filename=filename or None,
            data_label=label or None,
            path=_optional_text(item, "path"),
            cards=cards,
            required=required,
            values=values,
            data_md5_before=_optional_md5(item, "md5_before"),
            data_md5_after=_optional_md5(item, "md5_after"),
        )
    except RefusedItemError as error:
        error.identifier = identifier
        raise


def check_cards(cards: CardList) -> None:
    """Make sure that a header can hold these cards.

    Raises
    ------
    RefusedItemError
        It cannot; the message names the keyword.
    """
    for keyword, value in cards:
        if not _KEYWORD.fullmatch(keyword) or keyword == "HIERARCH":
            raise RefusedItemError(_NO_KEYWORD.format(keyword))
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise RefusedItemError(f"{keyword}: the text is longer than {_LONGEST_TEXT} characters")
        if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
            raise RefusedItemError(f"{keyword}: the number is too large")
        try:
            edited_cards(HDU(""), Edit(set={keyword: value}))
        except EditError as error:
            raise RefusedItemError(f"{keyword}: {error}") from error


def _cards_of(values: Mapping[str, Any], reject_new: bool) -> tuple[CardList, Sequence[str]]:
    """Return the cards that values stand for, and those keywords that must be there already."""
    unknown = sorted(set(values) - set(_READERS) - {"reject_new"})
    if unknown:
        raise RefusedItemError(f"Unknown values: {', '.join(map(repr, unknown))}")
    own: list[tuple[str, EditValue]] = []
    generic: list[tuple[str, EditValue]] = []
    for name, read in _READERS.items():
        if name in values:
            (generic if name == "generic" else own).extend(read(values[name]))
    if not own and not generic:
        raise RefusedItemError("values asks for nothing")
    check_cards([*own, *generic])
    set_before = {keyword for keyword, _ in own}
    required = dict.fromkeys(keyword for keyword, _ in generic if keyword not in set_before)
    return (*own, *generic), tuple(required) if reject_new else ()


def _qa_state(value: object) -> Iterator[tuple[str, EditValue]]:
    pair = _QA_STATES.get(value.lower()) if isinstance(value, str) else None
    if pair is None:
        raise RefusedItemError(f"qa_state {value!r} is none of {', '.join(_QA_STATES)}")
    yield "RAWGEMQA", pair[0]
    yield "RAWPIREQ", pair[1]


def _raw_site(value: object) -> Iterator[tuple[str, EditValue]]:
    found: dict[str, str] = {}
    for code in value if isinstance(value, list) else [value]:
        pair = _RAW_SITE.get(code.lower()) if isinstance(code, str) else None
        if pair is None:
            raise RefusedItemError(f"raw_site {code!r} is none of {', '.join(_RAW_SITE)}")
        if found.setdefault(*pair) != pair[1]:
            raise RefusedItemError(f"raw_site says both {found[pair[0]]} and {pair[1]} for {pair[0]}")
    yield from found.items()


def _release(value: object) -> Iterator[tuple[str, EditValue]]:
    try:
        if not isinstance(value, str) or not _DATE.fullmatch(value):
            raise ValueError
        date.fromisoformat(value)
    except ValueError as error:
        raise RefusedItemError(f"release {value!r} is no date of the form YYYY-MM-DD") from error
    yield "RELEASE", value


def _generic(value: object) -> Iterator[tuple[str, EditValue]]:
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list):
        raise RefusedItemError("generic is neither an object nor a list of pairs")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise RefusedItemError(f"generic: {pair!r} is not a keyword and a value")
        keyword, given = pair
        if not _KEYWORD.fullmatch(keyword):
            raise RefusedItemError(_NO_KEYWORD.format(keyword))
        if not isinstance(given, str | int | float | bool | None):
            message = f"generic: {keyword} = {given!r:.60} is no text, number, truth value or null"
            raise RefusedItemError(message)
        # blanks at the end of a text mean nothing in a header
        yield keyword.upper(), given.rstrip(" ") if isinstance(given, str) else given


_READERS: Final[Mapping[str, Callable[[object], Iterator[tuple[str, EditValue]]]]] = {
    "qa_state": _qa_state,
    "raw_site": _raw_site,
    "release": _release,
    "generic": _generic,
}


def _flag(holder: Mapping[str, Any]) -> bool:
    flag = holder.get("reject_new", False)
    if not isinstance(flag, bool):
        raise RefusedItemError("reject_new is neither true nor false")
    return flag


def _optional_text(item: Mapping[str, Any], key: str) -> str | None:
    value = item.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not (value.isprintable() or not value):
        raise RefusedItemError(f"{key} is not a text")
    return value


def _optional_md5(item: Mapping[str, Any], key: str) -> str | None:
    value = _optional_text(item, key)
    if value is not None and not _MD5.fullmatch(value):
        raise RefusedItemError(f"{key} is no MD5")
    return value
