"""The match keys of headers: which offers and needs a header has, and the writing of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.conditions import Facts
from fits_dagster.calibration.facts import HeaderFacts, load_facts
from fits_dagster.calibration.queries import UNDATED_SECS, Query, Variant
from fits_dagster.metadata.record import ENUMS

__all__ = [
    "applicable_types",
    "as_json",
    "asked_queries",
    "forget_headers",
    "index_headers",
    "needs_of",
    "offers_of",
    "write_index",
]

_CHUNK: Final = 500
_PROCESSING_RANK: Final = {name: rank for rank, name in enumerate(ENUMS["processing"])}

_INSERT_OFFERS = text("""
insert into calibration_offer
    (header_id, query, key, secs, ut, engineering, processing, entrytime, wavelength, attributes, tag_rank)
select header_id, query, key, secs, ut, engineering, processing, entrytime, wavelength, attributes, tag_rank
from jsonb_populate_recordset(null::calibration_offer, cast(:rows as jsonb))
""")
_INSERT_NEEDS = text("""
insert into calibration_need
select * from jsonb_populate_recordset(null::calibration_need, cast(:rows as jsonb))
""")
_FORGET_OFFERS = text("delete from calibration_offer where header_id = any(:ids)")
_FORGET_NEEDS = text("delete from calibration_need where header_id = any(:ids)")


def applicable_types(facts: HeaderFacts) -> frozenset[str]:
    """Return the calibration types that a header needs."""
    return facts.queries.ruleset.applicable_types(facts.targets[0]) if facts.targets else frozenset()


def needs_of(facts: HeaderFacts, caltypes: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of `calibration_need` of a header.

    Parameters
    ----------
    caltypes
        Types to ask for; by default those that are applicable.
    """
    if not facts.is_target:
        return []
    rows: list[dict[str, Any]] = []
    for caltype in sorted(applicable_types(facts) if caltypes is None else caltypes):
        part = 0
        for target, variant, query in asked_queries(facts, caltype):
            need = query.need(facts.queries.ruleset, target)
            if need is not None:
                key = {"header_id": facts.header_id, "caltype": caltype, "part": part, "cut": variant.cut}
                rows.append(key | need)
                part += 1
    return rows


def asked_queries(facts: HeaderFacts, caltype: str) -> Iterator[tuple[Facts, Variant, Query]]:
    """Yield the queries that a header asks for one type, with the target (GHOST: the arm) that asks."""
    for target in facts.targets:
        variants = facts.queries.variants.get(caltype, ())
        for variant in variants:
            if variant.serves(target):
                yield from ((target, variant, query) for query in variant.queries)
                break


def offers_of(facts: HeaderFacts) -> list[dict[str, Any]]:
    """Return the rows of `calibration_offer` of a header, each once."""
    if not facts.is_candidate:
        return []
    rows: list[dict[str, Any]] = []
    values = facts.values
    common = {
        "header_id": facts.header_id,
        "secs": UNDATED_SECS if values["ut_datetime_secs"] is None else values["ut_datetime_secs"],
        "ut": values["ut_datetime"],
        "engineering": values["engineering"],
        "processing": _PROCESSING_RANK.get(values["processing"], -1),
        "entrytime": facts.entrytime,
        "tag_rank": facts.tag_rank,
    }
    for query in facts.queries.queries.values():
        for candidate in facts.rows:
            if query.accepts(candidate):
                row = {**common, **query.offer(candidate)}
                if row not in rows:
                    rows.append(row)
    return rows


def index_headers(connection: Connection, header_ids: Sequence[int]) -> None:
    """Write the offers and needs of headers anew, from their rows in the database.

    Ingest does this for every new header; after a change of the rules the command
    ``fits-dagster rebuild-match-keys`` does it for all.
    """
    for start in range(0, len(header_ids), _CHUNK):
        ids = header_ids[start : start + _CHUNK]
        forget_headers(connection, ids)
        write_index(connection, load_facts(connection, ids))


def write_index(connection: Connection, facts: Iterable[HeaderFacts]) -> bool:
    """Insert the offers and needs of headers that have none; tells whether there are offers."""
    known = list(facts)
    if offers := [row for each in known for row in offers_of(each)]:
        connection.execute(_INSERT_OFFERS, {"rows": as_json(offers)})
    if needs := [row for each in known for row in needs_of(each)]:
        connection.execute(_INSERT_NEEDS, {"rows": as_json(needs)})
    return bool(offers)


def forget_headers(connection: Connection, header_ids: Sequence[int]) -> None:
    """Remove the offers and needs of headers."""
    for statement in (_FORGET_OFFERS, _FORGET_NEEDS):
        connection.execute(statement, {"ids": list(header_ids)})


def as_json(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return offers or needs as the JSON text from which the database makes rows in one statement."""
    return json.dumps(list(rows), default=datetime.isoformat)
