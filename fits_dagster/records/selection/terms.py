"""What a row of the grammar is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement

from fits_dagster.nights import NightClock

__all__ = ["Asked", "Condition", "Term"]


@dataclass
class Asked:
    """What a selection asks for as a whole."""

    #: Values by key.
    values: dict[str, Any] = field(default_factory=dict)
    #: Of the site that is asked.
    clock: NightClock = field(default_factory=NightClock)
    #: Conditions that are already known, by key, in the order of the grammar.
    conditions: dict[str, ColumnElement[bool]] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key."""
        return self.values.get(key, default)

    def __contains__(self, key: str) -> bool:
        return key in self.values


#: From a value, and from all that is asked for, to the condition; None: no restriction.
Condition: TypeAlias = Callable[[Any, Asked], ColumnElement[bool] | None]


def _no_restriction(_: Any, __: Asked) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Term:
    """One row of the grammar: how an element is recognised, and what it selects."""

    #: Key of the selection; a later element with the same key replaces an earlier one.
    key: str
    #: What it selects, one sentence for people.
    help: str
    #: Bare words, with their values.
    words: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the words are understood in any case.
    any_case: bool = False
    #: Names before ``=``.
    names: tuple[str, ...] = ()
    #: Reader of what stands behind ``=``.
    read: Callable[[str], Any] | None = None
    #: What stands behind ``=``, or a bare element that is recognised by its form, for people.
    form: str = ""
    #: Recognises a bare element by its form; None when it is none.
    recognise: Callable[[str], Any | None] | None = None
    #: Key of a bare element where dates are nights, if it means something else there.
    night_key: str = ""
    #: Further keys that its words set.
    also: Mapping[str, Any] = field(default_factory=dict)
    where: Condition = _no_restriction
    #: Whether it narrows a selection to a date, a program or files.
    closes: bool = False
    #: Elements for the help page; tests ask for each of them.
    examples: tuple[str, ...] = ()

    def understand(self, element: str) -> Any | None:
        """Return the value of an element if it is one of this row's; None if it is not.

        Raises
        ------
        BadSelectionError
            The key is this row's, the value is none.
        """
        name, equals, text = element.partition("=")
        if equals and name in self.names and self.read is not None:
            return self.read(text)
        word = element.lower() if self.any_case else element
        if word in self._known:
            return self._known[word]
        return self.recognise(element) if self.recognise is not None else None

    @property
    def _known(self) -> Mapping[str, Any]:
        if self.any_case:
            return {word.lower(): value for word, value in self.words.items()}
        return self.words
