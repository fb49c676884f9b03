"""Looking associations up: from the cache, or computed afresh for any type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.caltypes import CALTYPES
from fits_dagster.calibration.engine import ranked_statement
from fits_dagster.calibration.facts import load_facts
from fits_dagster.calibration.index import applicable_types, as_json, needs_of
from fits_dagster.fits.names import trimmed

__all__ = ["CalibrationList", "associations_of", "canonical_headers", "compute"]

_ORDER: Final = {caltype: place for place, caltype in enumerate(CALTYPES)}


@dataclass(frozen=True)
class CalibrationList:
    """The calibrations of one type for one file."""

    caltype: str
    #: Whether the file needs this type; others are found on request only.
    applicable: bool
    #: File names without ``.bz2``, best first.
    names: tuple[str, ...]


_CANONICAL = text("""
select h.id from file f join diskfile d on d.file_id = f.id and d.canonical
join header h on h.diskfile_id = d.id
where f.name = any(:names) and (cast(:path as text) is null or d.path = :path)
order by d.entrytime desc, h.id desc
""")

_CACHED = text("""
select c.caltype, f.name from calcache c join header h on h.id = c.cal_hid
join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
where c.obs_hid = :id order by c.caltype, c.rank
""")

_NAMES = text("""
select h.id, f.name from header h join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
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
    headers = canonical_headers(connection, name)
    if not headers:
        raise LookupError(f"no file {name} with a header record")
    lists: dict[str, list[str]] = {}
    applicable: frozenset[str] = frozenset()
    for facts in load_facts(connection, headers[:1]):
        applicable = applicable_types(facts)
        if all_types:
            lists = {caltype: [] for caltype in facts.queries.variants}
            found = compute(connection, needs_of(facts, facts.queries.variants))
            names = _names(connection, [each for ids in found.values() for each in ids])
            lists |= {caltype: [names[each] for each in ids] for (_, caltype), ids in found.items()}
        else:
            lists = {caltype: [] for caltype in applicable}
            for caltype, calibration in connection.execute(_CACHED, {"id": facts.header_id}):
                lists.setdefault(caltype, []).append(calibration)
    return [
        CalibrationList(caltype, caltype in applicable, tuple(lists[caltype]))
        for caltype in sorted(lists, key=_ORDER.__getitem__)
    ]


def compute(connection: Connection, needs: Sequence[Mapping[str, Any]]) -> dict[tuple[int, str], list[int]]:
    """Answer needs without the cache.

    Returns
    -------
    dict
        Headers of the calibrations, best first, by header and type.
    """
    found: dict[tuple[int, str], list[int]] = {}
    for target, caltype, calibration, _ in connection.execute(_LIVE, {"needs": as_json(needs)}):
        found.setdefault((target, caltype), []).append(calibration)
    return found


def _names(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    return {header: name for header, name in connection.execute(_NAMES, {"ids": list(ids)})}
