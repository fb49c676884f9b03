"""The statements walk along the index of match keys; they never read a whole table of headers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from fits_dagster.calibration import associate_headers, index_headers
from fits_dagster.calibration.associate import ranked_statement
from fits_dagster.calibration.concerned import arrival_statement
from fits_dagster.calibration.processing_tags import affected_statement, set_processing_tag
from fits_dagster.records.processing_tags import ProcessingTag

FILES = 6000

_SETUP = (
    """insert into file (name) select 'N' || i || '.fits' from generate_series(1, :files) i""",
    """insert into diskfile (file_id, filename, path, present, canonical, file_md5, file_size, lastmod,
                             compressed, data_md5, data_size)
       select id, name, '', true, true, '', 0, now(), false, '', 0 from file""",
    """insert into header (diskfile_id, instrument, engineering, qa_state, processing, reduction,
                           spectroscopy, observation_type, observation_class, ut_datetime,
                           ut_datetime_secs, types)
       select id, 'NIFS', false, 'Pass', 'Raw', 'RAW', true, (array['OBJECT', 'ARC', 'RONCHI'])[1 + id % 3],
              'science', timestamptz '2010-01-01Z' + id * interval '1 hour',
              extract(epoch from timestamptz '2010-01-01Z' - timestamptz '2000-01-01Z') + id * 3600,
              array['SPECT']
       from diskfile""",
    """insert into nifs (header_id, disperser, filter_name) select id, 'K', 'HK' from header""",
    """update nifs set disperser = 'J' where id % 2 = 0""",
)


@pytest.fixture(scope="module")
def many(engine: Engine) -> Iterator[tuple[Connection, list[int]]]:
    """Some thousand headers of one instrument, with statistics."""
    with engine.connect() as connection:
        for statement in _SETUP:
            connection.execute(text(statement), {"files": FILES} if ":files" in statement else {})
        headers = list(connection.scalars(text("select id from header order by id")))
        index_headers(connection, headers)
        associate_headers(connection, headers)
        connection.execute(text("analyze"))
        yield connection, headers
        connection.rollback()


def plan(connection: Connection, statement: str, values: dict[str, object]) -> str:
    return "\n".join(connection.scalars(text(f"explain {statement}"), values))


def test_an_answer_walks_the_index_of_offers(many: tuple[Connection, list[int]]) -> None:
    connection, headers = many
    found = plan(connection, ranked_statement(stored=True), {"ids": headers[3000:3100]})
    assert "ix_calibration_offer_walk" in found
    assert "ix_calibration_offer_tagged" in found
    assert "Seq Scan on" not in found


def test_tags_are_hopped_to_and_found_by_their_files(many: tuple[Connection, list[int]]) -> None:
    connection, headers = many
    with connection.begin_nested() as nested:
        connection.execute(
            text("update header set processing_tag = 'T' || id % 300 where observation_type = 'ARC'")
        )
        for number in range(4):
            known = ProcessingTag(tag=f"T{number}", priority=number, published=True)
            assert bool(set_processing_tag(connection, known)) == (number % 3 == 1)
        for table in ("calibration_offer", "header"):
            connection.execute(text(f"analyze {table}"))
        found = plan(connection, ranked_statement(stored=True), {"ids": headers[3000:3100]})
        assert "ix_calibration_offer_tagged" in found
        assert "Seq Scan on" not in found
        values: dict[str, object] = {
            **{"tag": "T1", "raw": 1, "raw_changes": True, "others_change": False},
            **{"queries": ["NIFS.arc"], "befores": [-1000], "afters": [1000]},
        }
        # tables of this size are as well read whole; weigh pages as for tables that are not
        connection.execute(text("set local random_page_cost = 1.1"))
        found = plan(connection, affected_statement(), values)
        assert all(f"ix_{each}" in found for each in ("calibration_need_watch", "calibration_offer_walk"))
        assert "ix_header_processing_tag" in found
        assert "Seq Scan on calibration" not in found
        nested.rollback()


def test_who_is_concerned_walks_the_index_of_needs(many: tuple[Connection, list[int]]) -> None:
    connection, headers = many
    values: dict[str, object] = {
        "offering": [headers[3000]],
        "queries": ["NIFS.arc"],
        "firsts": [0],
        "lasts": [10**9],
    }
    found = plan(connection, arrival_statement(), values)
    assert "ix_calibration_need_reach" in found
    assert "Seq Scan on calibration" not in found


def test_the_nearest_of_many_are_found(many: tuple[Connection, list[int]]) -> None:
    connection, headers = many
    kinds = dict(
        connection.execute(
            text("select id, observation_type from header where id between :first and :first + 5"),
            {"first": headers[3000]},
        ).all()
    )
    target = min(header for header, kind in kinds.items() if kind == "OBJECT")
    rows = connection.execute(text(ranked_statement(stored=True)), {"ids": [target]}).all()
    # an arc follows each object and a Ronchi frame each arc; every other header has another disperser
    assert {caltype: [each - target for each in found] for _, caltype, found in rows} == {
        "arc": [-2],
        "ronchi_mask": [2],
    }
