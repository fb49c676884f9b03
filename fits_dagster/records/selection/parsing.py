"""From path elements to a selection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from sqlalchemy import ColumnElement, and_, true

from fits_dagster.records.selection.grammar import GRAMMAR
from fits_dagster.records.selection.ordering import Ordering
from fits_dagster.records.selection.program_terms import SPECIFIC_FIRST
from fits_dagster.records.selection.sky_terms import POSITION_KEYS
from fits_dagster.records.selection.terms import Asked
from fits_dagster.records.selection.values import BadSelectionError
from fits_dagster.settings import SiteSettings

__all__ = ["Selection", "path_elements", "select_files"]

_CLOSING: Final = frozenset(term.key for term in GRAMMAR if term.closes)


@dataclass
class Selection:
    """What a URL asks for."""

    #: Elements as they were given.
    elements: list[str] = field(default_factory=list)
    #: Values by key.
    values: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, ColumnElement[bool]] = field(default_factory=dict)
    #: Elements that have no effect: nobody understands them, or another one overrules them.
    not_recognised: list[str] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether nothing narrows it to a date, a program or a file."""
        return not _CLOSING & set(self.values)

    @property
    def is_feed(self) -> bool:
        """Whether it asks what has come since a time."""
        return "entrytimedaterange" in self.values

    @property
    def asks_for_position(self) -> bool:
        """Whether its answer would tell where frames point."""
        return bool(POSITION_KEYS & set(self.values))

    @property
    def orderings(self) -> tuple[Ordering, ...]:
        """The order that is asked for among the elements."""
        found: tuple[Ordering, ...] = self.values.get("orderby", ())
        return found

    @property
    def where(self) -> ColumnElement[bool]:
        """All conditions together."""
        return and_(true(), *self.conditions.values())


def path_elements(raw_path: bytes, feature: str) -> list[str]:
    """Split a raw request path behind its feature; each element is decoded by itself.

    A slash inside a value is written ``=slash=`` or ``%2F``.
    """
    text = raw_path.decode("ascii", "replace").split("?")[0]
    rest = text.split(f"/{feature}", 1)[1] if f"/{feature}" in text else ""
    return [unquote(element).replace("=slash=", "/") for element in rest.split("/") if element]


def select_files(elements: Iterable[str], site: SiteSettings) -> Selection:
    """Turn path elements into conditions.

    Parameters
    ----------
    site
        Site that is asked: by its clock it is tonight, and there a bare date is a night or a UTC date.

    Raises
    ------
    BadSelectionError
        A key has a value that it cannot have.
    """
    selection = Selection(list(elements))
    asked = Asked(selection.values, site.night_clock)
    tonight = site.night_clock.tonight()
    words = {"tonight": f"night={tonight}", "lastnight": f"night={tonight.previous}"}
    objects = []
    for element in selection.elements:
        if "\x00" in element:
            raise BadSelectionError("a selection holds no NUL")
        if not _take(words.get(element, element), asked, site):
            selection.not_recognised.append(element)
        elif element.startswith("object="):
            objects.append(element)
    if "ra" in asked or "dec" in asked:
        selection.not_recognised += objects
    for specific in SPECIFIC_FIRST:
        if specific in asked:
            for general in SPECIFIC_FIRST:
                if general != specific:
                    asked.values.pop(general, None)
            break
    for term in GRAMMAR:
        if term.key in asked:
            condition = term.where(asked.values[term.key], asked)
            if condition is not None:
                asked.conditions[term.key] = condition
    selection.conditions = dict(asked.conditions)
    return selection


def _take(element: str, asked: Asked, site: SiteSettings) -> bool:
    """Note what an element asks for; False if nobody understands it."""
    for term in GRAMMAR:
        value = term.understand(element)
        if value is not None:
            is_bare = "=" not in element
            key = term.night_key if term.night_key and is_bare and site.dates_are_nights else term.key
            asked.values[key] = value
            asked.values.update(term.also)
            return True
    return False
