"""The migrations make exactly the schema that the tables describe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, Engine, create_engine, text

from fits_dagster.schema.migrate import alembic_config, migrate
from fits_dagster.schema.tables import metadata

# the server's answer names a type that SQLAlchemy can write, but does not look for
UNKNOWN_TYPE = pytest.mark.filterwarnings("ignore:Did not recognize type 'jsonpath'")


@UNKNOWN_TYPE
def test_migrated_and_described_schema_are_the_same(postgres_url: Callable[[], URL]) -> None:
    engine = create_engine(postgres_url())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


#: The schema of the first release.
FIRST_RELEASE = "0005"


@contextmanager
def database_of(server: URL, revision: str) -> Iterator[Engine]:
    """A new database with an earlier schema."""
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("create database earlier"))
    engine = create_engine(server.set(database="earlier"))
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text("drop database earlier"))
    admin.dispose()


@UNKNOWN_TYPE
def test_a_database_of_the_first_release_becomes_what_the_tables_describe(
    postgres_server: URL,
) -> None:
    with database_of(postgres_server, FIRST_RELEASE) as engine:
        migrate(engine)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []


_OLD_NEEDS = """
insert into calibration_need (header_id, caltype, part, query, key, secs, low_secs, high_secs, howmany,
                              any_engineering, least_wavelength, most_wavelength, condition)
select 1, caltype, part, 'NIRI.' || caltype, '[]', 0, 0, 0, 1, true, 0, 0, nullif(:condition, '')
from (values ('arc', 0), ('flat', 0), ('flat', 1), ('dark', 0)) as n(caltype, part)
"""
_OLD_CONDITION = '$."elevation" > 1 && $."a" like_regex "x, \\"y+" flag "q"'
_OLD_ANSWERS = """
insert into calibration_answer (header_id, caltype, cal_hids, farthest)
values (1, 'arc', '{7}', '{3600}'), (1, 'flat', '{8, 9}', array[null, 5])
"""


def test_how_far_needs_reach_is_taken_over_from_the_answers(postgres_server: URL) -> None:
    with database_of(postgres_server, "0016") as engine:
        with engine.begin() as connection:
            # rows without the headers that they are of
            connection.execute(
                text("alter table calibration_need drop constraint fk_calibration_need_header_id_header")
            )
            connection.execute(text(_OLD_NEEDS), {"condition": _OLD_CONDITION})
            connection.execute(text(_OLD_ANSWERS))
        migrate(engine)
        with engine.connect() as connection:
            rows = connection.execute(
                text("select caltype, part, farthest from calibration_need order by 1, 2")
            )
            assert [tuple(row) for row in rows] == [
                ("arc", 0, 3600),
                ("dark", 0, None),
                ("flat", 0, None),
                ("flat", 1, 5),
            ]
            condition = connection.scalar(text("select min(condition::text) from calibration_need"))
            assert condition == (
                '($."elevation" > 1 && ($."a" == "x, \\"y+" || $."a" like_regex "x, \\"y+" flag "q"))'
            )


def test_migrating_again_changes_nothing(postgres_url: Callable[[], URL]) -> None:
    engine = create_engine(postgres_url())
    migrate(engine)
    migrate(engine)
    engine.dispose()
