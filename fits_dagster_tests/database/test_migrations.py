"""The migrations make exactly the schema that the tables describe."""

from __future__ import annotations

from collections.abc import Callable

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, create_engine

from fits_dagster.calibration import tables as calibration_tables
from fits_dagster.database.migrate import migrate
from fits_dagster.database.schema import metadata


def test_migrated_and_described_schema_are_the_same(postgres_url: Callable[[], URL]) -> None:
    assert calibration_tables.__name__  # registers its tables
    engine = create_engine(postgres_url())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(postgres_url: Callable[[], URL]) -> None:
    engine = create_engine(postgres_url())
    migrate(engine)
    migrate(engine)
    engine.dispose()
