"""What a header is to the rules: facts about it, and its match keys, the offers and needs that follow."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Select, Text, any_, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from fits_dagster.calibration.conditions import Facts
from fits_dagster.calibration.meeting import NO_TAG, tag_rank_of
from fits_dagster.calibration.queries import UNDATED_SECS, Query, QuerySet, Variant, compile_ruleset
from fits_dagster.calibration.rules import load_rulesets
from fits_dagster.metadata.record import ENUMS
from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.records.processing_tags import processingtag
from fits_dagster.records.tables import diskfile, header

__all__ = [
    "HeaderFacts",
    "applicable_types",
    "as_json",
    "asked_queries",
    "forget_headers",
    "index_headers",
    "load_facts",
    "needs_of",
    "offers_of",
    "write_index",
]

#: What rules may look at; the rest of the record is left in the database.
_COLUMNS = (
    "observation_id",
    "observation_type",
    "observation_class",
    "data_label",
    "program_id",
    "calibration_program",
    "engineering",
    "instrument",
    "object",
    "ut_datetime",
    "ut_datetime_secs",
    "exposure_time",
    "elevation",
    "cass_rotator_pa",
    "central_wavelength",
    "focal_plane_mask",
    "camera",
    "detector_binning",
    "detector_roi_setting",
    "coadds",
    "spectroscopy",
    "gcal_lamp",
    "qa_state",
    "phot_standard",
    "reduction",
    "processing",
    "processing_tag",
)

_IDS = bindparam("ids", type_=ARRAY(BigInteger))
_INSTRUMENTS = bindparam("instruments", type_=ARRAY(Text))

_CHUNK: Final = 500
_PROCESSING_RANK: Final = {name: rank for rank, name in enumerate(ENUMS["processing"])}

#: Of the need of a type for which nothing is looked for: no offer has an empty query.
_UNMET: Final = {
    "part": 0,
    "query": "",
    "key": "",
    "howmany": 0,
    "any_engineering": False,
    "least_wavelength": 0.0,
    "most_wavelength": 0.0,
}

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


@dataclass(frozen=True)
class HeaderFacts:
    """One header, with its rows in the instrument's table."""

    header_id: int
    canonical: bool
    entrytime: datetime
    queries: QuerySet
    #: One for each row of the instrument's table; a candidate without any serves nobody.
    rows: tuple[Facts, ...]
    #: The same, and for a target without a row one whose columns are all null.
    targets: tuple[Facts, ...]
    #: See :mod:`fits_dagster.calibration.meeting`.
    tag_rank: int = NO_TAG

    @property
    def values(self) -> Any:
        """Facts that are the same for every row."""
        return self.targets[0].values if self.targets else {}

    @property
    def is_target(self) -> bool:
        """Whether it may ask for calibrations."""
        return (
            self.canonical and self.values.get("qa_state") != "Fail" and bool(self.values.get("ut_datetime"))
        )

    @property
    def is_candidate(self) -> bool:
        """Whether it may serve as a calibration, once its processing tag is published if it needs one.

        A file need not be present for that.
        """
        return self.canonical and self.values.get("qa_state") not in (None, "Fail")


def load_facts(connection: Connection, header_ids: Sequence[int]) -> list[HeaderFacts]:
    """Read the facts about headers; those of an instrument without rules are left out.

    Returns
    -------
    list of HeaderFacts
        In the order of the ids.
    """
    rulesets = load_rulesets()
    chosen = {"ids": list(header_ids), "instruments": list(rulesets)}
    records = connection.execute(_headers_statement(), chosen).mappings().all()
    by_table: dict[str, list[int]] = defaultdict(list)
    for record in records:
        table = rulesets[record["instrument"]].table
        if table is not None:
            by_table[table].append(record["id"])
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for table, ids in by_table.items():
        for row in connection.execute(_rows_statement(table), {"ids": ids}).mappings():
            rows[row["header_id"]].append(dict(row))
    return [_facts(dict(record), rows[record["id"]]) for record in records]


@cache
def _headers_statement() -> Select[Any]:
    columns = (header.c[name] for name in _COLUMNS)
    return (
        select(
            header.c.id,
            header.c.types,
            diskfile.c.canonical,
            diskfile.c.entrytime,
            processingtag.c.priority,
            processingtag.c.published,
            *columns,
        )
        .join(diskfile, diskfile.c.id == header.c.diskfile_id)
        .outerjoin(processingtag, processingtag.c.tag == header.c.processing_tag)
        .where(header.c.id == any_(_IDS), header.c.instrument == any_(_INSTRUMENTS))
        .order_by(header.c.id)
    )


@cache
def _rows_statement(table: str) -> Select[Any]:
    rows = INSTRUMENT_TABLES[table]
    return select(rows).where(rows.c.header_id == any_(_IDS)).order_by(rows.c.id)


def _facts(record: dict[str, Any], rows: list[dict[str, Any]]) -> HeaderFacts:
    priority, published = record.pop("priority"), record.pop("published")
    tag_rank = tag_rank_of(record["processing"], priority=priority, published=published)
    queries = compile_ruleset(record["instrument"])
    ruleset = queries.ruleset
    tags = frozenset(record["types"] or ())
    if ruleset.table is None:
        rows = [{}]
    columns = [c.name for c in INSTRUMENT_TABLES[ruleset.table].columns] if ruleset.table else []
    shadowed = {f"header.{name}": record[name] for name in columns if name in _COLUMNS}
    found = tuple(Facts({**record, **shadowed, **row}, tags, ruleset.conditions) for row in rows)
    targets = found if ruleset.per_row else found[:1]
    if not targets and not ruleset.per_row:
        targets = (Facts({**record, **shadowed, **dict.fromkeys(columns)}, tags, ruleset.conditions),)
    return HeaderFacts(
        record["id"], record["canonical"], record["entrytime"], queries, found, targets, tag_rank
    )


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


def _stored_needs(facts: HeaderFacts) -> list[dict[str, Any]]:
    """Return the needs of a header, with one that nobody meets for each type for which nothing is looked for.

    So the applicable types of a header are those of its needs, without its being judged again.
    """
    if not facts.is_target:
        return []
    applicable = applicable_types(facts)
    rows = needs_of(facts, applicable)
    secs = facts.values["ut_datetime_secs"]
    at = {"secs": secs, "low_secs": secs, "high_secs": secs}
    for caltype in sorted(applicable - {row["caltype"] for row in rows}):
        rows.append({"header_id": facts.header_id, "caltype": caltype, **at, **_UNMET})
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
    if needs := [row for each in known for row in _stored_needs(each)]:
        connection.execute(_INSERT_NEEDS, {"rows": as_json(needs)})
    return bool(offers)


def forget_headers(connection: Connection, header_ids: Sequence[int]) -> None:
    """Remove the offers and needs of headers."""
    for statement in (_FORGET_OFFERS, _FORGET_NEEDS):
        connection.execute(statement, {"ids": list(header_ids)})


def as_json(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return offers or needs as the JSON text from which the database makes rows in one statement."""
    return json.dumps(list(rows), default=datetime.isoformat)
