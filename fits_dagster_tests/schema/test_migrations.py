"""The migrations make exactly the schema that the tables describe."""

from __future__ import annotations

from collections.abc import Callable

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, create_engine, text

from fits_dagster.schema.migrate import alembic_config, migrate
from fits_dagster.schema.tables import metadata


def test_migrated_and_described_schema_are_the_same(postgres_url: Callable[[], URL]) -> None:
    engine = create_engine(postgres_url())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


#: The schema of the first release.
FIRST_RELEASE = "0005"


def test_a_database_of_the_first_release_becomes_what_the_tables_describe(
    postgres_server: URL,
) -> None:
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("create database first_release"))
    engine = create_engine(postgres_server.set(database="first_release"))
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, FIRST_RELEASE)
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text("drop database first_release"))
    admin.dispose()


def test_migrating_again_changes_nothing(postgres_url: Callable[[], URL]) -> None:
    engine = create_engine(postgres_url())
    migrate(engine)
    migrate(engine)
    engine.dispose()
