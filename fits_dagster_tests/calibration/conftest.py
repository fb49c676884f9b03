"""A database with the whole schema, and headers in it without the ingest stage around them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, text

from fits_dagster.schema import tables as schema

_DATABASE = "calibration_tests"


@pytest.fixture(scope="session")
def engine(postgres_server: URL) -> Iterator[Engine]:
    """An engine on a database that every test leaves empty."""
    server = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"create database {_DATABASE}"))
    server.dispose()
    engine = create_engine(
        postgres_server.set(database=_DATABASE), connect_args={"options": "-c timezone=UTC -c jit=off"}
    )
    schema.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction that is rolled back after the test."""
    with engine.connect() as connection:
        yield connection
        connection.rollback()
