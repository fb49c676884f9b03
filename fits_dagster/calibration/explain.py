"""Why each calibration was chosen, or none was found; and how a night is served."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.conditions import Facts
from fits_dagster.calibration.facts import HeaderFacts, load_facts
from fits_dagster.calibration.keys import applicable_types, needs_of
from fits_dagster.calibration.lookup import compute, current_header, key_of
from fits_dagster.calibration.queries import HIDDEN, Query
from fits_dagster.calibration.rules import CALTYPES, Criteria

__all__ = [
    "SHOWN_TYPES",
    "CalibrationNeed",
    "Candidate",
    "Explanation",
    "Miss",
    "TargetNeeds",
    "calibration_needs",
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
_NAMES = text("""
select h.id, f.name from header h join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
where h.id = any(:ids)
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
    names = {header: name for header, name in connection.execute(_NAMES, {"ids": ids})}
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


SHOWN_TYPES: Final = ("arc", "dark", "bias", "flat", "pinhole", "ronchi_mask")

_HOUR: Final = 3600.0
#: Hours from which on a calibration is far; GMOS darks are taken seldom.
_FAR_HOURS: Final = {"arc": 24.0, "dark": 120.0}
_FAR_GMOS_DARK_HOURS: Final = 4320.0
_FOCUS_MASK: Final = "focus_array_new"


@dataclass(frozen=True)
class CalibrationNeed:
    """One type that a file needs, with what there is of it."""

    caltype: str
    #: File names and seconds from the target (negative before it, None without a time), best first.
    found: tuple[tuple[str, float | None], ...]
    #: More hours than this away from the target is far; None: nothing is.
    far_hours: float | None

    @property
    def is_missing(self) -> bool:
        """Whether there is none at all."""
        return not self.found

    def is_far(self, seconds: float | None) -> bool:
        """Tell whether a distance is a reason for a warning."""
        return seconds is not None and self.far_hours is not None and abs(seconds) > self.far_hours * _HOUR


@dataclass(frozen=True)
class TargetNeeds:
    """A file with its needs."""

    name: str
    values: Mapping[str, Any]
    needs: tuple[CalibrationNeed, ...]

    def take_now(self, now: datetime) -> bool:
        """Tell whether an arc taken now would be the only one, or nearer than the last one in the list."""
        arcs = next((need.found for need in self.needs if need.caltype == "arc"), None)
        if arcs is None:
            return False
        last = arcs[-1][1] if arcs else None
        return last is None or abs(last) > (now - self.values["ut_datetime"]).total_seconds()


_FOUND = text("""
select a.header_id, a.caltype, f.name, extract(epoch from k.ut_datetime - h.ut_datetime)::float8 as seconds
from calibration_answer a join header h on h.id = a.header_id
cross join lateral unnest(a.cal_hids) with ordinality as c(cal_hid, place)
join header k on k.id = c.cal_hid join diskfile d on d.id = k.diskfile_id join file f on f.id = d.file_id
where a.header_id = any(:ids) and a.caltype = any(:caltypes)
order by a.header_id, a.caltype, c.place
""")


def calibration_needs(connection: Connection, header_ids: Sequence[int]) -> list[TargetNeeds]:
    """Return the needs of files for raw calibrations, as the cache has them, in three queries.

    Returns
    -------
    list of TargetNeeds
        In the order of the headers, without those that need nothing that is shown.
    """
    found: dict[tuple[int, str], list[tuple[str, float | None]]] = {}
    for header, caltype, name, seconds in connection.execute(
        _FOUND, {"ids": list(header_ids), "caltypes": list(SHOWN_TYPES)}
    ):
        found.setdefault((header, caltype), []).append((name, seconds))
    names = {header: name for header, name in connection.execute(_NAMES, {"ids": list(header_ids)})}
    known = {each.header_id: each for each in load_facts(connection, header_ids)}
    explained = []
    for header in header_ids:
        facts = known.get(header)
        if facts is None or not facts.is_target:
            continue
        needs = tuple(
            CalibrationNeed(
                caltype, tuple(found.get((header, caltype), ())), _far_hours(caltype, facts.values)
            )
            for caltype in _shown_types(facts)
        )
        if needs:
            explained.append(TargetNeeds(names[header], facts.values, needs))
    return explained


def _shown_types(facts: HeaderFacts) -> list[str]:
    """Return the types that a file needs and operators care for."""
    applicable = applicable_types(facts)
    values = facts.values
    left_out = set()
    if _is_gmos(values):
        if values["observation_class"] == "dayCal":
            left_out.add("arc")
        if values["spectroscopy"] is False:
            left_out.add("flat")
            if values["focal_plane_mask"] == _FOCUS_MASK:
                left_out.add("dark")
    return [each for each in SHOWN_TYPES if each in applicable and each not in left_out]


def _far_hours(caltype: str, values: Mapping[str, Any]) -> float | None:
    if caltype == "dark" and _is_gmos(values):
        return _FAR_GMOS_DARK_HOURS
    return _FAR_HOURS.get(caltype)


def _is_gmos(values: Mapping[str, Any]) -> bool:
    return str(values["instrument"]).startswith("GMOS")
