"""Conditions on the facts about a header: how the rule files state them, and whether they hold.

A condition is a mapping; all its entries must hold. A key is a fact (a column) and its value the check: a
plain value for equality, a list for one of several, or a mapping of operators. The special keys are
``tag`` and ``no_tag`` (exact membership), ``any_of`` and ``all_of`` (lists of conditions) and ``is`` (a
condition that the rule file names).

On a *target* null equals null and differs from everything else. On a *candidate* nothing holds of a null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Check", "Condition", "Facts", "Scalar", "contains_path", "json_path"]

Scalar = bool | int | float | datetime | str | None


@dataclass(frozen=True)
class Facts:
    """What is known of one header, with one row of its instrument's table."""

    values: Mapping[str, Any]
    tags: frozenset[str]
    #: Conditions with a name, of the rule set that judges.
    named: Mapping[str, Condition] = field(default_factory=dict)


class Check(BaseModel):
    """Operators on one fact; all that are given must hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    eq: Scalar = None
    ne: Scalar = None
    in_: tuple[Scalar, ...] = Field(default=(), alias="in")
    not_in: tuple[Scalar, ...] = ()
    lt: float | datetime | None = None
    le: float | None = None
    gt: float | None = None
    ge: float | None = None
    contains: str | None = None
    #: SQL pattern: ``_`` any letter, ``%`` any text.
    like: str | None = None
    startswith: str | None = None
    endswith: str | None = None
    #: Whether there is a value at all.
    known: bool | None = None
    #: Not null, not false, not zero, not empty or blank text.
    truthy: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        if isinstance(given, list):
            return {"in": given}
        return given if isinstance(given, dict | Check) else {"eq": given}

    def of_target(self, value: Any) -> bool:
        """Tell whether it holds for a fact of a target."""
        return all(_OPERATORS[name](value, getattr(self, name)) for name in self.model_fields_set)

    def of_candidate(self, value: Any) -> bool:
        """Tell whether it holds for a fact of a candidate: never for a null."""
        return value is not None and self.of_target(value)


def _truthy(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else bool(value)


@cache
def _pattern(like: str) -> re.Pattern[str]:
    return re.compile(re.escape(like).replace("_", ".").replace("%", ".*"), re.DOTALL)


_OPERATORS: Mapping[str, Any] = {
    "eq": lambda value, other: value == other,
    "ne": lambda value, other: value != other,
    "in_": lambda value, others: value in others,
    "not_in": lambda value, others: value not in others,
    "lt": lambda value, limit: value is not None and value < limit,
    "le": lambda value, limit: value is not None and value <= limit,
    "gt": lambda value, limit: value is not None and value > limit,
    "ge": lambda value, limit: value is not None and value >= limit,
    "contains": lambda value, part: value is not None and part in value,
    "like": lambda value, pattern: value is not None and _pattern(pattern).fullmatch(value) is not None,
    "startswith": lambda value, part: value is not None and value.startswith(part),
    "endswith": lambda value, part: value is not None and value.endswith(part),
    "known": lambda value, wanted: (value is not None) == wanted,
    "truthy": lambda value, wanted: _truthy(value) == wanted,
}

_SPECIAL = {"tag": "tag", "no_tag": "no_tag", "any_of": "any_of", "all_of": "all_of", "is": "named"}


class Condition(BaseModel):
    """Tests that must all hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checks: dict[str, Check] = Field(default_factory=dict)
    tag: str | None = None
    no_tag: tuple[str, ...] = ()
    any_of: tuple[Condition, ...] = ()
    all_of: tuple[Condition, ...] = ()
    named: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise ValueError(f"a condition is a mapping, not {given!r}")
        special: dict[str, Any] = {_SPECIAL[key]: value for key, value in given.items() if key in _SPECIAL}
        if isinstance(special.get("no_tag"), str):
            special["no_tag"] = (special["no_tag"],)
        return {**special, "checks": {key: value for key, value in given.items() if key not in _SPECIAL}}

    def of_target(self, facts: Facts) -> bool:
        """Tell whether it holds for a target."""
        values = facts.values
        return (
            all(check.of_target(values.get(name)) for name, check in self.checks.items())
            and (self.tag is None or self.tag in facts.tags)
            and facts.tags.isdisjoint(self.no_tag)
            and (self.named is None or facts.named[self.named].of_target(facts))
            and all(part.of_target(facts) for part in self.all_of)
            and (not self.any_of or any(part.of_target(facts) for part in self.any_of))
        )

    def of_candidate(self, facts: Facts) -> bool:
        """Tell whether it holds for a candidate."""
        values = facts.values
        return (
            all(check.of_candidate(values.get(name)) for name, check in self.checks.items())
            and (self.tag is None or self.tag in facts.tags)
            and all(part.of_candidate(facts) for part in self.all_of)
            and (not self.any_of or any(part.of_candidate(facts) for part in self.any_of))
        )


def contains_path(name: str, wanted: str) -> str:
    """Return as a JSON path predicate that an attribute of an offer contains a text.

    Most are equal to it, which is told a hundred times as fast: the server makes an automaton for each look.
    """
    accessor, literal = f"$.{json.dumps(name)}", json.dumps(wanted)
    return f'({accessor} == {literal} || {accessor} like_regex {literal} flag "q")'


def json_path(name: str, check: Check) -> str:
    """Return a check on a candidate as a JSON path predicate on an attribute of an offer.

    Raises
    ------
    ValueError
        The check has an operator that is not needed there.
    """
    accessor = f"$.{json.dumps(name)}"
    parts = []
    for operator in sorted(check.model_fields_set):
        wanted = getattr(check, operator)
        if operator == "eq":
            parts.append(f"{accessor} == {json.dumps(wanted)}")
        elif operator == "ne":
            parts.append(f"({accessor} != null && {accessor} != {json.dumps(wanted)})")
        elif operator == "in_":
            parts.append("(" + " || ".join(f"{accessor} == {json.dumps(each)}" for each in wanted) + ")")
        elif operator == "contains":
            parts.append(contains_path(name, wanted))
        elif operator == "endswith":
            escaped = "".join(letter if letter.isalnum() else f"[{letter}]" for letter in wanted)
            parts.append(f"{accessor} like_regex {json.dumps(escaped + '$')}")
        else:
            raise ValueError(f"no JSON path form of {operator} on {name}")
    return " && ".join(parts)
