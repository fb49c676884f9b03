"""A large archive for measurements: a block of simulated nights, and copies of it through the years.

The first block is written row by row and indexed as ingest does it. The others are copies of all its rows,
each so many nights later than the one before; a copy differs in nothing but keys and times. The association
cache is filled likewise, with what the engine finds for a block in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, text

from benchmarks.observing import Frame, simulate_records
from fits_dagster.calibration import associate_headers, index_headers
from fits_dagster.records.calibrations import calibration_answer, calibration_need, calibration_offer
from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.records.tables import diskfile, file, header

__all__ = ["NIGHT_FILES", "LargeArchive", "fill_archive"]

#: Files of a night, and nights of a block.
NIGHT_FILES: Final = 400
_BLOCK_NIGHTS: Final = 25
_FIRST_NIGHT: Final = datetime(2018, 1, 1, tzinfo=UTC)
#: Ten million headers are seventy years: they begin so early that their seconds stay within 32 bits.
_END: Final = datetime(2025, 1, 1, tzinfo=UTC)
_BATCH: Final = 1000
_EARLIEST_SECS: Final = -(10**15)
_LATEST_SECS: Final = 10**15


@dataclass(frozen=True)
class LargeArchive:
    """What :func:`fill_archive` made; header ids run from 1, in order of time."""

    headers: int
    needs: int
    offers: int
    answers: int

    def night(self, number: int) -> Sequence[int]:
        """Return the headers of a night, counted from the last."""
        end = self.headers - number * NIGHT_FILES
        return range(max(1, end - NIGHT_FILES + 1), end + 1)


def fill_archive(
    engine: Engine, headers: int, *, decoration: Mapping[str, str] | None = None
) -> LargeArchive:
    """Fill the empty database of a site with headers of all instruments, their match keys and cache.

    Parameters
    ----------
    headers
        How many; rounded up to whole blocks of nights.
    decoration
        Columns of the headers with SQL of what they are to have; in it ``{id}`` stands for the header's key.
    """
    more = decoration or {}
    block = _BLOCK_NIGHTS * NIGHT_FILES
    blocks = -(-headers // block)
    with engine.begin() as connection:
        first_night = min(_FIRST_NIGHT, _END - blocks * timedelta(days=_BLOCK_NIGHTS))
        frames = list(simulate_records(first_night, nights=_BLOCK_NIGHTS, files=NIGHT_FILES))
        for start in range(0, block, _BATCH):
            _write_frames(connection, list(enumerate(frames[start : start + _BATCH], start + 1)))
        index_headers(connection, range(1, block + 1))
        connection.exec_driver_sql("analyze")
        indexes = _drop_indexes(connection)
        if more:
            values = ", ".join(f"{name} = {sql.format(id='id')}" for name, sql in more.items())
            connection.exec_driver_sql(f"update header set {values}")
        # foreign keys of rows that are copies need no second look
        connection.exec_driver_sql("set local session_replication_role = replica")
        for table in (file, diskfile, header, *INSTRUMENT_TABLES.values(), calibration_offer):
            _copy_rows(connection, table, block, range(1, blocks), more if table is header else {})
        # how far needs reach is found out in the block in the middle, whose needs are copied therefore
        middle = blocks // 2
        if middle:
            _copy_rows(connection, calibration_need, block, range(middle, middle + 1), {})
        for statement in indexes:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("analyze")
        _fill_cache(connection, block, blocks)
        if middle:
            connection.execute(_FIRST_REACHES, {"block": block, "shift": middle * block})
        others = [number for number in range(1, blocks) if number != middle]
        _copy_rows(connection, calibration_need, block, others, {})
        connection.exec_driver_sql("analyze")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("vacuum analyze")
        counts = [
            connection.scalar(text(f"select count(*) from {table.name}"))
            for table in (header, calibration_need, calibration_offer, calibration_answer)
        ]
    return LargeArchive(*(int(count or 0) for count in counts))


def _write_frames(connection: Connection, keyed: Sequence[tuple[int, Frame]]) -> None:
    connection.execute(file.insert(), [{"id": i, "name": f"N{i:012}.fits"} for i, _ in keyed])
    connection.execute(diskfile.insert(), [_version(i, each) for i, each in keyed])
    connection.execute(
        header.insert(), [{**_NO_RECORD, "id": i, "diskfile_id": i, **each.record} for i, each in keyed]
    )
    for name, table in INSTRUMENT_TABLES.items():
        rows = [{"header_id": i, **row} for i, each in keyed if each.table == name for row in each.rows]
        if rows:
            connection.execute(table.insert(), rows)


_NO_RECORD: Final[dict[str, Any]] = {column.name: None for column in header.columns}


def _version(key: int, frame: Frame) -> dict[str, Any]:
    return {
        "id": key,
        "file_id": key,
        "filename": f"N{key:012}.fits",
        "path": "",
        "present": True,
        "canonical": True,
        "file_md5": f"{key:032x}",
        "file_size": 0,
        "lastmod": frame.record["ut_datetime"],
        "entrytime": frame.record["ut_datetime"],
        "compressed": False,
        "data_md5": f"{key:032x}",
        "data_size": 0,
    }


_KEYS: Final = frozenset({"file_id", "diskfile_id", "header_id", "obs_hid", "cal_hid"})
_TIMES: Final = frozenset({"ut_datetime", "ut", "low", "high", "entrytime", "lastmod"})
_SECONDS: Final = frozenset({"ut_datetime_secs", "secs", "low_secs", "high_secs"})


_FIRST_REACHES: Final = text("""
update calibration_need n set farthest = m.farthest from calibration_need m
where n.header_id <= :block and m.header_id = n.header_id + :shift and m.caltype = n.caltype
  and m.part = n.part and m.farthest is not null
""")


def _copy_rows(
    connection: Connection, table: Table, block: int, others: Sequence[int], decoration: Mapping[str, str]
) -> None:
    """Copy the rows of the first block for others, by number; surrogate keys are made by the database."""
    own_key = {"id"} if table in (file, diskfile, header) else set()
    columns = [c.name for c in table.columns if c.name != "id" or own_key]
    changed = {name: f"t.{name} + k * {block}" for name in _KEYS | own_key}
    changed |= {name: f"t.{name} + k * interval '{_BLOCK_NIGHTS} days'" for name in _TIMES}
    # the widest limits stay what they are
    changed |= {
        name: f"case when t.{name} between {_EARLIEST_SECS} and {_LATEST_SECS} "
        f"then t.{name} + k * bigint '{_BLOCK_NIGHTS * 86400}' else t.{name} end"
        for name in _SECONDS
    }
    changed |= {name: sql.format(id=f"(t.id + k * {block})") for name, sql in decoration.items()}
    if table in (file, diskfile):
        column = "name" if table is file else "filename"
        changed[column] = f"'N' || lpad((t.id + k * {block})::text, 12, '0') || '.fits'"
    numbers = ",".join(map(str, others))
    first = f"where header_id <= {block}" if table is calibration_need else ""
    source = ", ".join(changed.get(name, f"t.{name}") for name in columns)
    connection.exec_driver_sql(
        f"insert into {table.name} ({', '.join(columns)}) select {source} "
        f"from unnest('{{{numbers}}}'::bigint[]) k cross join (select * from {table.name} {first}) t"
    )
    if own_key:
        connection.exec_driver_sql(
            f"select setval(pg_get_serial_sequence('{table.name}', 'id'), {block * (len(others) + 1)})"
        )


def _drop_indexes(connection: Connection) -> list[str]:
    """Drop the indexes that are no constraints; returns the statements that make them again."""
    found = connection.execute(
        text("""
        select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) from pg_index i
        join pg_class t on t.oid = i.indrelid
        where t.relname = any(:tables)
          and not exists (select 1 from pg_constraint c where c.conindid = i.indexrelid)
        """),
        {"tables": [t.name for t in (file, diskfile, header, calibration_need, calibration_offer)]},
    ).all()
    for name, _ in found:
        connection.exec_driver_sql(f"drop index {name}")
    return [statement for _, statement in found]


def _fill_cache(connection: Connection, block: int, blocks: int) -> None:
    """Associate the block in the middle, and copy what was found for the others, as far as that exists."""
    middle = blocks // 2
    for night in range(_BLOCK_NIGHTS):
        first = 1 + middle * block + night * NIGHT_FILES
        associate_headers(connection, range(first, first + NIGHT_FILES))
    connection.exec_driver_sql(f"""
        insert into calibration_answer (header_id, caltype, cal_hids)
        select a.header_id + k * {block}, a.caltype, shifted.cal_hids
        from generate_series(-{middle}, {blocks - 1 - middle}) k
        cross join (select * from calibration_answer) a
        cross join lateral (
            select array_agg(c.id + k * {block} order by c.place) as cal_hids
            from unnest(a.cal_hids) with ordinality as c(id, place)
            where c.id + k * {block} between 1 and {block * blocks}) shifted
        where k <> 0 and shifted.cal_hids is not null
        """)
