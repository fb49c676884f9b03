"""The rules of an instrument, ready for use: what a candidate offers, and what a target needs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final

from fits_dagster.calibration.conditions import Condition, Facts, contains_path, json_path
from fits_dagster.calibration.rules import Criteria, RuleBody, RuleSet, Score, Side, load_rulesets

__all__ = [
    "UNDATED_SECS",
    "Query",
    "QuerySet",
    "Variant",
    "compile_ruleset",
    "whole_seconds",
]

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
#: Time of a candidate without one: nobody is farther away, tag_ranks apart.
UNDATED_SECS: Final = -(10**12)
_LEAST_SECS: Final = -(2**62)
_MOST_SECS: Final = 2**62
_RESOLUTION: Final = timedelta(microseconds=1)
_SAME_OBSERVATION: Final = "nearest_then_same_observation"
#: The tolerance that most rules have, and that leaves most candidates out, is for the index.
_WAVELENGTH: Final = "central_wavelength"
#: Stands for a wavelength that is not known, below every limit but the widest.
_NO_WAVELENGTH: Final = -1.0
_ANY_WAVELENGTH: Final = (-2.0, 1e300)


@dataclass(frozen=True)
class Query:
    """One way to look for candidates."""

    name: str
    #: Candidates fulfil all of these by themselves.
    where: tuple[Condition, ...]
    #: Columns of the key: the candidate's name and the target's.
    key: tuple[tuple[str, str], ...]
    #: Criteria that become the condition of a need.
    filters: tuple[Criteria, ...]
    window: timedelta | None
    side: Side
    order: str | Score
    limit: int

    @property
    def attributes(self) -> tuple[str, ...]:
        """Columns of a candidate that conditions and orders look at."""
        names: set[str] = set()
        for criteria in self.filters:
            names.update(criteria.match, criteria.within, criteria.contains)
            names.update(criteria.where.checks if criteria.where else ())
        names.discard(_WAVELENGTH)
        if self.order == _SAME_OBSERVATION:
            names.add("observation_id")
        return tuple(sorted(names))

    def accepts(self, candidate: Facts) -> bool:
        """Tell whether a candidate fulfils what can be judged without a target."""
        return all(condition.of_candidate(candidate) for condition in self.where)

    def offer(self, candidate: Facts) -> dict[str, Any]:
        """Return key and attributes of a candidate's offer."""
        values = candidate.values
        wavelength = values.get(_WAVELENGTH)
        return {
            "query": self.name,
            "key": _key(values.get(column) for column, _ in self.key),
            "attributes": {name: _json_value(values.get(name)) for name in self.attributes},
            "wavelength": _NO_WAVELENGTH if wavelength is None else float(wavelength),
        }

    def need(self, ruleset: RuleSet, target: Facts) -> dict[str, Any] | None:
        """Return what a target with a time asks for, or None where nothing can match.

        Raises
        ------
        ValueError
            A value is no finite number, though a tolerance wants one.
        """
        condition = self._condition(ruleset, target)
        if condition is None:
            return None
        ut: datetime = target.values["ut_datetime"]
        low = None if self.window is None else ut - self.window
        high = None if self.window is None else ut + self.window
        if self.side == "after":
            low = ut
        elif self.side != "around":
            high = ut + _RESOLUTION if self.side == "until" else ut
        scored = self.order if isinstance(self.order, Score) else None
        wavelength = target.values.get(_WAVELENGTH) if scored else None
        least, most = self._wavelengths(ruleset, target)
        return {
            "query": self.name,
            "key": _key(target.values.get(fact) for _, fact in self.key),
            "secs": target.values["ut_datetime_secs"],
            "low": low,
            "high": high,
            "low_secs": _LEAST_SECS if low is None else whole_seconds(low) - 1,
            "high_secs": _MOST_SECS if high is None else whole_seconds(high) + 1,
            "howmany": self.limit,
            "any_engineering": target.values.get("engineering") is not False,
            "condition": condition or None,
            "least_wavelength": least,
            "most_wavelength": most,
            "score_days": scored.days if scored else None,
            "score_range": ruleset.value(scored.wavelength, target) if scored else None,
            "wavelength": None if wavelength is None else float(wavelength),
            "observation_id": target.values.get("observation_id")
            if self.order == _SAME_OBSERVATION
            else None,
        }

    def compared(self, ruleset: RuleSet, target: Facts) -> Iterator[tuple[str, Any]]:
        """Yield the columns that candidates are chosen by, each with the value of a target."""
        for column, fact in self.key:
            yield column, target.values.get(fact)
        for criteria in self.filters:
            if criteria.if_ is None or criteria.if_.of_target(target):
                yield from ((column, target.values.get(fact)) for column, fact in criteria.match.items())
                yield from ((column, target.values.get(column)) for column in criteria.within)
                yield from (
                    (column, ruleset.value(fact, target)) for column, fact in criteria.contains.items()
                )

    def reach(self, secs: int) -> tuple[int, int]:
        """Return the seconds between which targets may lie that a candidate at ``secs`` concerns."""
        width = None if self.window is None else math.ceil(self.window.total_seconds()) + 1
        first = _LEAST_SECS if width is None else secs - width
        last = _MOST_SECS if width is None else secs + width
        # who asks for earlier ones is later
        before, after = self.side in ("around", "after"), self.side != "after"
        return (first if before else secs, last if after else secs)

    def _wavelengths(self, ruleset: RuleSet, target: Facts) -> tuple[float, float]:
        """Return the limits between which the wavelength of a candidate must lie."""
        least, most = _ANY_WAVELENGTH
        for criteria in self.filters:
            if _WAVELENGTH in criteria.within and (criteria.if_ is None or criteria.if_.of_target(target)):
                limits = _limits(ruleset, target, criteria, _WAVELENGTH)
                if limits is not None:
                    least, most = max(least, limits[0], _NO_WAVELENGTH), min(most, limits[1])
        return least, most

    def _condition(self, ruleset: RuleSet, target: Facts) -> str | None:
        """Return the JSON path condition of a need (empty: none), or None where nothing can fulfil it."""
        parts: list[str] = []
        for criteria in self.filters:
            if criteria.if_ is not None and not criteria.if_.of_target(target):
                continue
            if criteria.where is not None:
                parts += [json_path(name, check) for name, check in criteria.where.checks.items()]
            for column, fact in criteria.match.items():
                parts.append(f'$."{column}" == {json.dumps(_json_value(target.values.get(fact)))}')
            for column in criteria.within:
                limits = _limits(ruleset, target, criteria, column) if column != _WAVELENGTH else None
                if limits is not None:
                    parts.append(f'$."{column}" > {limits[0]!r} && $."{column}" < {limits[1]!r}')
            for column, fact in criteria.contains.items():
                text = ruleset.value(fact, target)
                if text is None:
                    return None
                parts.append(contains_path(column, text))
        return " && ".join(parts)


@dataclass(frozen=True)
class Variant:
    """What a rule means for the targets that fulfil the conditions."""

    conditions: tuple[Condition, ...]
    queries: tuple[Query, ...]
    #: Length of the answer where several queries make it.
    cut: int | None

    def serves(self, target: Facts) -> bool:
        """Tell whether it is meant for a target."""
        return all(condition.of_target(target) for condition in self.conditions)


@dataclass(frozen=True)
class QuerySet:
    """The rules of an instrument, ready for use."""

    ruleset: RuleSet
    #: By calibration type; the first variant that serves a target is its rule.
    variants: Mapping[str, tuple[Variant, ...]]
    #: Every query once, by name.
    queries: Mapping[str, Query]


@cache
def compile_ruleset(instrument: str) -> QuerySet:
    """Make the rules of an instrument ready for use.

    Parameters
    ----------
    instrument
        Its name as headers spell it.

    Raises
    ------
    KeyError
        There are no rules for it, or a rule names something that is not there.
    """
    ruleset = load_rulesets()[instrument]
    variants = {caltype: tuple(_variants(ruleset, caltype)) for caltype in ruleset.rules}
    queries = {q.name: q for ways in variants.values() for way in ways for q in way.queries}
    return QuerySet(ruleset, variants, queries)


def _variants(ruleset: RuleSet, rule_name: str) -> Iterator[Variant]:
    rule = ruleset.rules[rule_name]
    guard = (rule.only_if,) if rule.only_if is not None else ()
    for number, branch in enumerate(rule.branches or (RuleBody(),)):
        conditions = (*guard, *((branch.if_,) if branch.if_ is not None else ()))
        other = branch.same_as or rule.same_as
        if other is not None:
            for way in _variants(ruleset, other):
                yield replace(way, conditions=(*conditions, *way.conditions))
            # what the other rule does not serve must not fall through to the next branch
            yield Variant(conditions, (), None)
        elif branch.nothing or rule.nothing:
            yield Variant(conditions, (), None)
        else:
            name = f"{ruleset.name}.{rule_name}" + (f".{number}" if rule.branches else "")
            parts = branch.interleave or rule.interleave
            queries = [
                _query(ruleset, f"{name}.{index}" if parts else name, (rule, branch, part))
                for index, part in enumerate(parts or (RuleBody(),))
            ]
            yield Variant(conditions, tuple(queries), queries[0].limit if parts else None)


def _query(ruleset: RuleSet, name: str, bodies: tuple[RuleBody, ...]) -> Query:
    """Merge the bodies of a rule, a branch and a part: criteria add up, other entries override."""
    criteria: list[Criteria] = []
    where: list[Condition] = []
    for body in bodies:
        criteria += [Criteria(where=body.where, match=body.match, within=body.within, contains=body.contains)]
        criteria += [each for group in body.use for each in ruleset.shared[group]]
    where += _state_and_kind(next((body.of for body in reversed(bodies) if body.of), None))
    where += [each.where for each in criteria if each.if_ is None and each.where is not None]
    key = tuple(pair for each in criteria if each.if_ is None for pair in each.match.items())
    filters = [
        each if each.if_ else Criteria(within=each.within, contains=each.contains) for each in criteria
    ]
    limit = next((body.limit for body in reversed(bodies) if body.limit is not None), None)
    if limit is None:
        raise KeyError(f"{name} has no limit")
    window = next((body.window for body in reversed(bodies) if body.window), None)
    return Query(
        name=name,
        where=tuple(where),
        key=tuple(dict.fromkeys(key)),
        filters=tuple(each for each in filters if each != Criteria()),
        window=window.interval if window else None,
        side=next((body.side for body in reversed(bodies) if body.side), "around"),
        order=next((body.order for body in reversed(bodies) if body.order), "nearest"),
        limit=limit,
    )


def _state_and_kind(of: str | None) -> list[Condition]:
    state, _, kind = (of or "").partition(" ")
    if state == "processed":
        return [Condition.model_validate({"reduction": f"PROCESSED_{kind}"})]
    wanted = {"reduction": "RAW"} if state == "raw" else {}
    return [Condition.model_validate({**wanted, **({"observation_type": kind} if kind else {})})]


def _limits(ruleset: RuleSet, target: Facts, criteria: Criteria, column: str) -> tuple[float, float] | None:
    """Return the limits of a column, in double precision, or None where there are none for a target."""
    amount, value = criteria.within[column], target.values.get(column)
    tolerance = ruleset.value(amount, target) if isinstance(amount, str) else amount
    if value is None or tolerance is None:
        return None
    low, high = float(value) - tolerance, float(value) + tolerance
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{column} is not finite")
    return low, high


def _key(values: Iterable[Any]) -> str:
    return json.dumps([_json_value(value) for value in values], ensure_ascii=False, separators=(",", ":"))


def _json_value(value: Any) -> Any:
    """Return a column's value for JSON; a decimal of the database has few enough digits to stay exact."""
    return float(value) if isinstance(value, Decimal) else value


def whole_seconds(moment: datetime) -> int:
    """Return the whole seconds since 2000 of a time."""
    return math.floor((moment - _EPOCH).total_seconds())
