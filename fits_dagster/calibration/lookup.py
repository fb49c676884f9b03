"""Calibrations of a file as people and programs ask for them, and those of those calibrations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.associate import ranked_statement
from fits_dagster.calibration.match_keys import (
    HeaderFacts,
    applicable_types,
    as_json,
    asked_queries,
    load_facts,
    needs_of,
)
from fits_dagster.calibration.meeting import need_slot
from fits_dagster.calibration.rules import CALTYPES
from fits_dagster.fits.names import trimmed

__all__ = [
    "MOST_LEVELS",
    "AssociatedCalibration",
    "Calibration",
    "CalibrationList",
    "UseOfCalibration",
    "answers_of",
    "associated_calibrations",
    "associations_of",
    "canonical_headers",
    "compute",
    "current_header",
    "key_of",
    "names_of",
    "uses_of",
]

_ORDER: Final = {caltype: place for place, caltype in enumerate(CALTYPES)}
_NAMES = text("""
select h.id, f.name from header h join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
where h.id = any(:ids)
""")


@dataclass(frozen=True)
class Calibration:
    """A file that serves as a calibration."""

    header_id: int
    #: File name without ``.bz2``.
    name: str
    #: Seconds from the target, negative before it; None without a time.
    seconds: float | None


@dataclass(frozen=True)
class CalibrationList:
    """The calibrations of one type for one file."""

    caltype: str
    #: Whether the file needs this type; others are found on request only.
    applicable: bool
    #: What a calibration must have equal to the target, by column; with several values, one for each arm.
    key: Mapping[str, tuple[Any, ...]]
    #: Best first.
    calibrations: tuple[Calibration, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """File names without ``.bz2``, best first."""
        return tuple(each.name for each in self.calibrations)


_CANONICAL = text("""
select h.id from file f join diskfile d on d.file_id = f.id and d.canonical
join header h on h.diskfile_id = d.id
where f.name = any(:names) and (cast(:path as text) is null or d.path = :path)
order by d.entrytime desc, h.id desc
""")

_CACHED = text("select caltype, cal_hids from calibration_answer where header_id = :id")

_CALIBRATIONS = text("""
select h.id, f.name, h.ut_datetime from header h
join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
where h.id = any(:ids)
""")

_LIVE = text(ranked_statement(stored=False))


def canonical_headers(connection: Connection, name: str) -> Sequence[int]:
    """Return the headers of the current version of a file, the latest ingested first.

    Parameters
    ----------
    name
        File name, with or without ``.fits`` and ``.bz2``; with a path in front only the file there.
    """
    path, slash, filename = name.rpartition("/")
    plain = trimmed(filename)
    names = [plain] if plain.endswith(".fits") else [plain, f"{plain}.fits"]
    return connection.scalars(_CANONICAL, {"names": names, "path": path if slash else None}).all()


def names_of(connection: Connection, header_ids: Sequence[int]) -> dict[int, str]:
    """Return the names of the files of headers."""
    return {header: name for header, name in connection.execute(_NAMES, {"ids": list(header_ids)})}


def current_header(connection: Connection, name: str) -> int:
    """Return the header of the current version of a file; see :func:`canonical_headers`.

    Raises
    ------
    LookupError
        There is no such file.
    """
    # no name holds what the database cannot
    headers = canonical_headers(connection, name) if "\x00" not in name else []
    if not headers:
        raise LookupError(f"no file {name} with a header record")
    return headers[0]


def associations_of(connection: Connection, name: str, *, all_types: bool = False) -> list[CalibrationList]:
    """Return the calibrations of a file by type, in the order of the vocabulary.

    Parameters
    ----------
    name
        See :func:`canonical_headers`.
    all_types
        Compute every type that the instrument has a rule for, applicable or not; by default what the
        cache holds.

    Raises
    ------
    LookupError
        There is no such file.
    """
    for facts in load_facts(connection, [current_header(connection, name)]):
        applicable = applicable_types(facts)
        asked = facts.queries.variants if all_types else applicable
        needs = needs_of(facts, asked)
        lists: dict[str, list[int]] = {caltype: [] for caltype in asked}
        if all_types:
            lists |= {caltype: ids for (_, caltype), ids in compute(connection, needs).items()}
        else:
            lists |= {caltype: ids for caltype, ids in connection.execute(_CACHED, {"id": facts.header_id})}
        known = _calibrations(connection, facts, lists.values())
        return [
            CalibrationList(
                caltype,
                caltype in applicable,
                key_of(facts, (need["query"] for need in needs if need["caltype"] == caltype)),
                tuple(known[each] for each in lists[caltype]),
            )
            for caltype in sorted(lists, key=_ORDER.__getitem__)
        ]
    return []


def key_of(facts: HeaderFacts, queries: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Return what candidates of queries must have equal to a target: columns of theirs, values of its."""
    found: dict[str, dict[Any, None]] = {}
    for name in queries:
        for column, fact in facts.queries.queries[name].key:
            values = found.setdefault(column.removeprefix("header."), {})
            values.update(dict.fromkeys(target.values.get(fact) for target in facts.targets))
    return {column: tuple(values) for column, values in found.items()}


def compute(connection: Connection, needs: Sequence[Mapping[str, Any]]) -> dict[tuple[int, str], list[int]]:
    """Answer needs without the cache.

    Returns
    -------
    dict
        Headers of the calibrations, best first, by header and type.
    """
    rows = connection.execute(_LIVE, {"needs": as_json(needs)})
    return {(target, caltype): calibrations for target, caltype, calibrations in rows}


def answers_of(
    connection: Connection, header_ids: Sequence[int], caltypes: Collection[str]
) -> dict[tuple[int, str], Sequence[int] | None]:
    """Answer types for files of the archive without the cache, whether they need the types or not.

    Returns
    -------
    dict
        Headers of the calibrations, best first, by header and type; None where a rule cannot be evaluated,
        since the file has no time. What is empty may be missing.
    """
    found: dict[tuple[int, str], Sequence[int] | None] = {}
    needs: list[dict[str, Any]] = []
    for facts in load_facts(connection, header_ids):
        needs += needs_of(facts, caltypes)
        if facts.values.get("ut_datetime") is None:
            asked = (each for each in caltypes if any(asked_queries(facts, each)))
            found.update(dict.fromkeys((facts.header_id, each) for each in asked))
    return found | compute(connection, needs) if needs else found


def _calibrations(
    connection: Connection, target: HeaderFacts, lists: Iterable[Sequence[int]]
) -> dict[int, Calibration]:
    wanted = {"ids": sorted({header for ids in lists for header in ids})}
    start = target.values.get("ut_datetime")
    return {
        header: Calibration(
            header, name, None if ut is None or start is None else (ut - start).total_seconds()
        )
        for header, name, ut in connection.execute(_CALIBRATIONS, wanted)
    }


#: The calibrations themselves, and four further levels.
MOST_LEVELS: Final = 5


@dataclass(frozen=True)
class AssociatedCalibration:
    """A calibration of the files that were asked about, or of a calibration."""

    header_id: int
    #: File name without ``.bz2``.
    name: str
    #: The first in the order of the vocabulary of the types for which it serves at its level.
    caltype: str
    #: The best of its ranks at its level.
    rank: int
    #: 0 for a calibration of the files themselves.
    level: int

    @property
    def is_primary(self) -> bool:
        """Whether the files themselves have it as a calibration."""
        return self.level == 0


_LEVEL = text("""
with best as (
    select c.cal_hid, min(array_position(cast(:caltypes as text[]), a.caltype)) - 1 as type,
           min(c.place) - 1 as rank
    from calibration_answer a cross join lateral unnest(a.cal_hids) with ordinality as c(cal_hid, place)
    where a.header_id = any(:ids) and a.caltype = any(cast(:caltypes as text[]))
    group by c.cal_hid)
select b.cal_hid, f.name, b.type, b.rank from best b
join header h on h.id = b.cal_hid join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
order by b.type, b.rank, b.cal_hid desc
""")


def associated_calibrations(
    connection: Connection,
    header_ids: Sequence[int],
    *,
    levels: int = MOST_LEVELS,
    caltype: str | None = None,
) -> list[AssociatedCalibration]:
    """Return the calibrations of files, those of the calibrations, and so on, as the cache has them.

    One query per level; a level asks only for what no level before it has found, so that needs in a circle
    end by themselves.

    Parameters
    ----------
    header_ids
        Headers of the files. One that serves as a calibration is told like any other.
    levels
        1 for the calibrations of the files only, up to :data:`MOST_LEVELS`.
    caltype
        The only type to tell; calibrations of calibrations are not asked for then.

    Returns
    -------
    list of AssociatedCalibration
        Each once: level by level, in a level by type and rank, the latest header first among equals.
    """
    types = list(CALTYPES) if caltype is None else [caltype]
    found: dict[int, AssociatedCalibration] = {}
    asked = list(header_ids)
    for level in range(min(levels, MOST_LEVELS) if caltype is None else 1):
        if not asked:
            break
        rows = connection.execute(_LEVEL, {"ids": asked, "caltypes": types}).all()
        asked = [row.cal_hid for row in rows if row.cal_hid not in found]
        for header, name, place, rank in rows:
            found.setdefault(header, AssociatedCalibration(header, name, types[place], rank, level))
    return list(found.values())


@dataclass(frozen=True)
class UseOfCalibration:
    """A file that has another one as a calibration."""

    #: File name without ``.bz2``.
    name: str
    caltype: str
    rank: int
    #: Seconds from the calibration, negative before it.
    seconds: float


#: Needs on each side of an offer, nearest in time, that are looked at.
_NEEDS_LOOKED_AT: Final = 400
# from each offer of the calibration two walks along the needs that it meets
_USES = text(f"""
select distinct on (f.name, n.caltype) f.name, n.caltype,
       array_position(a.cal_hids, cast(:id as bigint)) - 1 as rank, n.secs - o.secs as seconds
from calibration_offer o
cross join lateral (
    (select n.header_id, n.caltype, n.secs from calibration_need n
     where {need_slot("n", "o")} and n.secs <= o.secs order by n.secs desc limit {_NEEDS_LOOKED_AT})
    union all
    (select n.header_id, n.caltype, n.secs from calibration_need n
     where {need_slot("n", "o")} and n.secs > o.secs order by n.secs limit {_NEEDS_LOOKED_AT})) n
join calibration_answer a on a.header_id = n.header_id and a.caltype = n.caltype
join header h on h.id = n.header_id join diskfile d on d.id = h.diskfile_id and d.canonical
join file f on f.id = d.file_id
where o.header_id = :id and cast(:id as bigint) = any(a.cal_hids)
""")


def uses_of(connection: Connection, header_id: int, *, limit: int) -> list[UseOfCalibration]:
    """Return files that have one as a calibration, as the cache has it, nearest in time first.

    Parameters
    ----------
    header_id
        Of the calibration.
    limit
        Most files.
    """
    rows = connection.execute(_USES, {"id": header_id}).all()
    found = [UseOfCalibration(row.name, row.caltype, row.rank, float(row.seconds)) for row in rows]
    return sorted(found, key=lambda use: (abs(use.seconds), use.name, use.caltype))[:limit]
