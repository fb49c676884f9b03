"""What the database knows of headers, as the rules look at it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, Text, any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY

from fits_dagster.calibration.conditions import Facts
from fits_dagster.calibration.queries import NO_TAG, QuerySet, compile_ruleset, tag_rank_of
from fits_dagster.calibration.rules import load_rulesets
from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.records.processing_tags import processingtag
from fits_dagster.records.tables import diskfile, header

__all__ = ["HeaderFacts", "load_facts"]

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
    #: See :mod:`fits_dagster.calibration.queries`.
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
