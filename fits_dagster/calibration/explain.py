"""Why each calibration was chosen, or none was found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.conditions import Facts
from fits_dagster.calibration.lookup import compute, current_header, key_of, names_of
from fits_dagster.calibration.match_keys import HeaderFacts, applicable_types, load_facts, needs_of
from fits_dagster.calibration.meeting import HIDDEN
from fits_dagster.calibration.queries import Query
from fits_dagster.calibration.rules import CALTYPES, Criteria

__all__ = [
    "Candidate",
    "Explanation",
    "Miss",
    "explain",
    "explain_all",
]

#: Candidates that are looked at, nearest in time first, and those that are named.
_LOOKED_AT: Final = 300
_TOLD: Final = 5

_NEAREST = text("""
select near.header_id from unnest(cast(:queries as text[])) as asked(query)
cross join lateral (
    (select header_id, secs from calibration_offer o
     where o.query = asked.query and o.secs <= :secs order by o.secs desc limit :limit)
    union all
    (select header_id, secs from calibration_offer o
     where o.query = asked.query and o.secs > :secs order by o.secs limit :limit)) near
group by near.header_id order by min(abs(near.secs - :secs)) limit :limit
""")


@dataclass(frozen=True)
class Miss:
    """A condition that a candidate does not fulfil."""

    #: Column, or ``time``, ``engineering``, ``processing tag``.
    what: str
    wanted: str
    found: str
    #: How much is lacking, where that can be said.
    by: str = ""

    def __str__(self) -> str:
        """Return it as a line for people."""
        return f"{self.what}: wanted {self.wanted}, found {self.found}" + (f" ({self.by})" if self.by else "")


@dataclass(frozen=True)
class Candidate:
    """A file that was considered."""

    name: str
    #: Seconds from the target, negative before it; None without a time.
    seconds: float | None
    misses: tuple[Miss, ...]


@dataclass(frozen=True)
class Explanation:
    """What was found for one file and type, and why nothing else."""

    caltype: str
    #: Whether the file needs the type, else it is found on request only.
    applicable: bool
    #: What must be equal, by column of the calibration; with several values, one for each arm.
    key: dict[str, tuple[Any, ...]]
    #: In rank order.
    chosen: tuple[Candidate, ...]
    #: Those passed over that miss least, then nearest; if any was chosen, only those nearer than the last.
    nearest: tuple[Candidate, ...]
    #: Why nothing was asked for at all, or nobody could answer.
    remark: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        return asdict(self)


def explain_all(
    connection: Connection, name: str, caltype: str | None = None, *, all_types: bool = False
) -> list[Explanation]:
    """Explain the calibrations of a file of one type, or of every type that it needs.

    Parameters
    ----------
    caltype
        The only type to explain.
    all_types
        Without a type: also those that the file does not need, of those that its instrument has rules for.

    Raises
    ------
    LookupError
        There is no such file.
    """
    if caltype is not None:
        return [explain(connection, name, caltype)]
    types: set[str] = set()
    for facts in load_facts(connection, [current_header(connection, name)]):
        types.update(facts.queries.variants if all_types else applicable_types(facts))
    return [explain(connection, name, each) for each in CALTYPES if each in types]


def explain(connection: Connection, name: str, caltype: str) -> Explanation:
    """Explain the calibrations of one type for a file, computed afresh.

    Raises
    ------
    LookupError
        There is no such file.
    """
    known = load_facts(connection, [current_header(connection, name)])
    if not known or not known[0].targets:
        return Explanation(caltype, False, {}, (), (), "the instrument has no rules, or the file no arm")
    facts = known[0]
    applicable = caltype in applicable_types(facts)
    needs = needs_of(facts, [caltype])
    if not needs:
        return Explanation(caltype, applicable, {}, (), (), _silence(facts, caltype))
    names = list(dict.fromkeys(need["query"] for need in needs))
    queries = [facts.queries.queries[each] for each in names]
    found = compute(connection, needs).get((facts.header_id, caltype), [])
    near = connection.scalars(
        _NEAREST, {"queries": names, "secs": facts.values["ut_datetime_secs"], "limit": _LOOKED_AT}
    ).all()
    by_id = {each.header_id: each for each in load_facts(connection, list({*found, *near}))}
    chosen = _candidates(connection, facts, [by_id[each] for each in found], queries)
    last = max((by_id[each].tag_rank for each in found), default=None)
    others = _candidates(
        connection, facts, [by_id[each] for each in near if each not in found], queries, last
    )
    return Explanation(
        caltype,
        applicable,
        key_of(facts, names),
        tuple(Candidate(each.name, each.seconds, ()) for each in chosen),
        tuple(_passed_over(others, chosen)[:_TOLD]),
        "" if chosen or others else "no file of that kind and state is known",
    )


def _passed_over(others: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    """Return who misses something, fewest misses first; among chosen ones only who would be nearer."""
    farthest = max((abs(each.seconds or 0.0) for each in chosen), default=math.inf)
    missing = [each for each in others if each.misses and abs(each.seconds or 0.0) <= farthest]
    return sorted(missing, key=lambda each: (len(each.misses), abs(each.seconds or 0.0)))


def _silence(facts: HeaderFacts, caltype: str) -> str:
    if not facts.is_target:
        return "the file has no time, failed its quality assessment, or is not the current version"
    if caltype not in facts.queries.variants:
        return f"there is no rule for {caltype} of {facts.queries.ruleset.name}"
    return "the rule asks for nothing for a file of this kind"


def _candidates(
    connection: Connection,
    target: HeaderFacts,
    candidates: Sequence[HeaderFacts],
    queries: Sequence[Query],
    last: int | None = None,
) -> list[Candidate]:
    """Return what is said of candidates; ``last`` is the tag_rank of the last of the chosen ones."""
    ids = [each.header_id for each in candidates]
    names = names_of(connection, ids)
    start = target.values["ut_datetime"]
    explained = []
    for each in candidates:
        ut = each.values["ut_datetime"]
        ways = [
            tuple(_misses(query, target, wanted, row))
            for query in queries
            for wanted in target.targets
            for row in each.rows
            if query.accepts(row)
        ]
        seconds = None if ut is None else (ut - start).total_seconds()
        misses = min(ways, key=len, default=())
        if each.tag_rank == HIDDEN:
            misses += (Miss("processing tag", "a published one, or a raw file", _tag(each)),)
        elif not misses and last is not None and each.tag_rank > last:
            misses = (Miss("processing tag", "none, or one of higher priority", _tag(each)),)
        explained.append(Candidate(names[each.header_id], seconds, misses))
    return explained


def _tag(candidate: HeaderFacts) -> str:
    processing, tag = candidate.values["processing"], candidate.values["processing_tag"]
    return f"{_shown(processing)}, {'no tag' if tag is None else f'tag {tag}'}"


def _misses(query: Query, target: HeaderFacts, wanted: Facts, row: Facts) -> Iterator[Miss]:
    for column, fact in query.key:
        if row.values.get(column) != wanted.values.get(fact):
            yield Miss(column, _shown(wanted.values.get(fact)), _shown(row.values.get(column)))
    if wanted.values.get("engineering") is False and row.values.get("engineering") is not False:
        yield Miss("engineering", "false", _shown(row.values.get("engineering")))
    yield from _time_misses(query, wanted, row)
    for criteria in query.filters:
        if criteria.if_ is None or criteria.if_.of_target(wanted):
            yield from _filter_misses(criteria, target, wanted, row)


def _time_misses(query: Query, wanted: Facts, row: Facts) -> Iterator[Miss]:
    start, ut = wanted.values["ut_datetime"], row.values["ut_datetime"]
    if ut is None:
        if query.window is not None or query.side != "around":
            yield Miss("time", "a time", "none")
        return
    if query.window is not None and abs(ut - start) >= query.window:
        yield Miss(
            "time", f"within {query.window}", f"{abs(ut - start)}", f"{abs(ut - start) - query.window} more"
        )
    wrong = {"around": False, "until": ut > start, "before": ut >= start, "after": ut <= start}
    if wrong[query.side]:
        by = f"{start - ut} early" if query.side == "after" else f"{ut - start} late"
        yield Miss("time", f"{query.side} {start:%Y-%m-%d %H:%M:%S}", f"{ut:%Y-%m-%d %H:%M:%S}", by)


def _filter_misses(criteria: Criteria, target: HeaderFacts, wanted: Facts, row: Facts) -> Iterator[Miss]:
    ruleset, values = target.queries.ruleset, row.values
    for column, check in criteria.where.checks.items() if criteria.where else ():
        if not check.of_candidate(values.get(column)):
            yield Miss(column, str(check.model_dump(exclude_unset=True)), _shown(values.get(column)))
    for column, fact in criteria.match.items():
        if values.get(column) != wanted.values.get(fact):
            yield Miss(column, _shown(wanted.values.get(fact)), _shown(values.get(column)))
    for column, amount in criteria.within.items():
        centre, value = wanted.values.get(column), values.get(column)
        tolerance = ruleset.value(amount, wanted) if isinstance(amount, str) else amount
        if centre is None or tolerance is None:
            continue
        off = None if value is None else abs(float(value) - float(centre))
        low, high = (Decimal(repr(float(centre) + sign * tolerance)) for sign in (-1, 1))
        if value is None or not low < value < high:
            by = "" if off is None else f"{off - tolerance:.6g} too much"
            yield Miss(column, f"{_shown(centre)} ± {tolerance:.6g}", _shown(value), by)
    for column, fact in criteria.contains.items():
        part, value = ruleset.value(fact, wanted), values.get(column)
        if part is None or value is None or part not in value:
            yield Miss(column, f"… {_shown(part)} …", _shown(value))


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "nothing" if value is None else str(value)
