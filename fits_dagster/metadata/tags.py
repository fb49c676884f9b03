"""The tag engine: rules in, tag set out.

Rules are data: what is added under which condition, and how the rule acts on others. Conditions are
built from the small vocabulary of this module and look at one file's `HeaderValues`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from fits_dagster.fits.cards import Value

from .values import as_text

__all__ = [
    "Condition",
    "Subject",
    "TagRule",
    "all_of",
    "always",
    "any_of",
    "compute_tags",
    "contains",
    "equals",
    "has_value",
    "keyword",
    "keyword_containing",
    "merged",
    "no",
    "starts",
]

#: A file as its header values see it (:class:`~fits_dagster.metadata.header_values.HeaderValues`).
Subject: TypeAlias = Any
Condition = Callable[[Subject], bool]
TagSource = tuple[str, ...] | Callable[[Subject], tuple[str, ...]]


@dataclass(frozen=True)
class TagRule:
    """Add tags if a condition holds."""

    #: The tags, or a function that computes them (none: the rule does nothing).
    add: TagSource
    #: Whether the rule applies to a file.
    when: Condition
    #: Tags that later rules can no longer add; this rule's other tags still count.
    removes: frozenset[str] = frozenset()
    #: Tags that make later rules void as a whole.
    blocks: frozenset[str] = frozenset()
    #: Tags in the set that make this rule void.
    blocked_by: frozenset[str] = frozenset()
    #: Tags that must be in the set already.
    if_present: frozenset[str] = frozenset()
    #: Name by which an instrument replaces or drops a rule common to all.
    purpose: str = ""


def compute_tags(rules: Iterable[TagRule], subject: Subject) -> frozenset[str]:
    """Apply tag rules to one file.

    Parameters
    ----------
    rules : iterable of TagRule
        Common rules, then those of the instrument.
    subject : HeaderValues
        The file.

    Returns
    -------
    frozenset of str
        A dark, for instance, blocks IMAGE and SPECT, whichever rule would add them. Source: tag
        semantics of the reference system.
    """
    holding = [(rule, add) for rule in rules if (add := _added(rule, subject))]
    holding.sort(key=lambda item: -len(item[0].removes | item[0].blocks))
    holding.sort(key=lambda item: len(item[0].blocked_by))
    holding.sort(key=lambda item: len(item[0].if_present))
    tags: set[str] = set()
    removed: set[str] = set()
    blocked: set[str] = set()
    for rule, add in holding:
        if not rule.if_present <= tags or rule.blocked_by & tags or not blocked.isdisjoint(add):
            continue
        removed |= rule.removes
        tags |= set(add) - removed
        blocked |= rule.blocks
    return frozenset(tags)


def _added(rule: TagRule, subject: Subject) -> tuple[str, ...]:
    if not rule.when(subject):
        return ()
    return rule.add(subject) if callable(rule.add) else rule.add


def always(_: Subject) -> bool:
    """Hold for every file."""
    return True


def equals(key: str, *values: Value, any_case: bool = False) -> Condition:
    """Hold if the keyword has one of the values."""
    if any_case:
        folded = {str(value).upper() for value in values}
        return lambda subject: _text(subject, key).upper() in folded
    wanted = set(values)
    return lambda subject: subject.tag_value(key) in wanted


def starts(key: str, *prefixes: str, any_case: bool = False) -> Condition:
    """Hold if the keyword begins with one of the prefixes."""
    if any_case:
        return lambda subject: _text(subject, key).lower().startswith(prefixes)
    return lambda subject: _text(subject, key).startswith(prefixes)


def contains(key: str, part: str, *, any_case: bool = False) -> Condition:
    """Hold if the keyword contains the part (give it in lower case for any case)."""
    if any_case:
        return lambda subject: part in _text(subject, key).lower()
    return lambda subject: part in _text(subject, key)


def keyword(*keys: str) -> Condition:
    """Hold if any of the keywords is in the primary header."""
    return lambda subject: any(key in subject.primary for key in keys)


def keyword_containing(part: str) -> Condition:
    """Hold if the name of some keyword of the primary header contains the part."""
    return lambda subject: subject.primary.has_keyword_containing(part)


def has_value(key: str) -> Condition:
    """Hold if the keyword is there and not blank."""
    return lambda subject: bool(_text(subject, key))


def no(condition: Condition) -> Condition:
    """Hold if the condition does not."""
    return lambda subject: not condition(subject)


def all_of(*conditions: Condition) -> Condition:
    """Hold if all conditions do."""
    return lambda subject: all(condition(subject) for condition in conditions)


def any_of(*conditions: Condition) -> Condition:
    """Hold if any of the conditions does."""
    return lambda subject: any(condition(subject) for condition in conditions)


def merged(common: Sequence[TagRule], own: Sequence[TagRule], without: Iterable[str]) -> tuple[TagRule, ...]:
    """Join the common rules, but for the dropped purposes, with those of an instrument."""
    dropped = set(without)
    return (*(rule for rule in common if rule.purpose not in dropped), *own)


def _text(subject: Subject, key: str) -> str:
    return as_text(subject.tag_value(key)) or ""
