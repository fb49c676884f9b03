"""Whatever stands in a selection: it is understood, told, or refused; the database never stumbles over it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from fits_dagster.records.selection import GRAMMAR, BadSelectionError, select_files
from fits_dagster.records.selection.ordering import order_by
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site
from fits_dagster.web.versions import versions_query
from fits_dagster_tests.builders.records import insert_records, make_records

KEYS = sorted({name for term in GRAMMAR for name in term.names})
WORDS = sorted({word for term in GRAMMAR for word in (*term.words, *term.examples)})
NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.sampled_from(
        ["1e308", "-0", "0" * 40 + "1", "9" * 15, "9" * 9, "32768", ".5", "5.", "١٢", "+3", "0x10"]
    ),
)
DATES = st.one_of(
    st.datetimes().map(lambda at: at.isoformat()),
    st.datetimes().map(lambda at: f"{at:%Y%m%d}"),
    st.sampled_from(["21001231", "2100-12-31T23:59:59-23:59", "19990101", "2024-W01-1", "20240230", "now"]),
)
SIMPLE = st.one_of(NUMBERS, DATES, st.text(max_size=30), st.sampled_from(WORDS))
VALUES = st.one_of(
    SIMPLE,
    st.tuples(SIMPLE, st.sampled_from(["-", "--", ":", "/", "*"]), SIMPLE).map("".join),
)
ELEMENTS = st.one_of(
    VALUES,
    st.tuples(st.sampled_from(KEYS), VALUES).map("=".join),
    st.sampled_from(WORDS),
)


@pytest.fixture
def connection(archive: Site) -> Iterator[Connection]:
    """A connection to a database with some records."""
    insert_records(archive, make_records(30))
    with archive.engine.connect() as opened:
        yield opened


@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(elements=st.lists(ELEMENTS, min_size=1, max_size=4), dates_are_nights=st.booleans())
def test_no_selection_makes_the_database_stumble(
    connection: Connection, elements: list[str], dates_are_nights: bool
) -> None:
    try:
        selection = select_files(elements, SiteSettings(dates_are_nights=dates_are_nights))
    except BadSelectionError as error:
        assert str(error)
        return
    order = order_by(selection.orderings, is_open=selection.is_open)
    with connection.begin_nested():
        connection.execute(versions_query().where(selection.where).order_by(*order).limit(3)).all()
    assert set(selection.not_recognised) <= set(elements)
