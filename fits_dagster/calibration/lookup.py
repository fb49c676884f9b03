"""Looking associations up: from the cache, or computed afresh for any type."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.caltypes import CALTYPES
from fits_dagster.calibration.engine import ranked_statement
from fits_dagster.calibration.facts import HeaderFacts, load_facts
from fits_dagster.calibration.index import applicable_types, as_json, asked_queries, needs_of
from fits_dagster.fits.names import trimmed

__all__ = [
    "Calibration",
    "CalibrationList",
    "answers_of",
    "associations_of",
    "canonical_headers",
    "compute",
    "current_header",
    "key_of",
]

_ORDER: Final = {caltype: place for place, caltype in enumerate(CALTYPES)}


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


def current_header(connection: Connection, name: str) -> int:
    """Return the header of the current version of a file; see :func:`canonical_headers`.

    Raises
    ------
    LookupError
        There is no such file.
    """
    headers = canonical_headers(connection, name)
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
