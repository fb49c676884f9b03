"""Databases of a server that somebody else has made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

from fits_dagster.database.server import DatabaseEncodingError
from fits_dagster.settings import Settings, load_settings
from fits_dagster.system.database import prepare_databases

MADE = ("dagster", "fits_summit")


def administer(server: URL, statement: str) -> object:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            result = connection.execute(text(statement))
            return result.scalars().all() if result.returns_rows else None
    finally:
        engine.dispose()


@pytest.fixture
def bytewise(postgres_server: URL) -> Iterator[URL]:
    """A database in SQL_ASCII, as all are of a server that was made without a locale."""
    administer(postgres_server, "create database bytewise encoding 'SQL_ASCII' template template0 locale 'C'")
    yield postgres_server.set(database="bytewise")
    for name in ("bytewise", *MADE):
        administer(postgres_server, f"drop database if exists {name} with (force)")


def of_server(home: Path, url: URL, **own: object) -> Settings:
    address = url.render_as_string(hide_password=False)
    return load_settings(home, sites=["summit"], database_url=address, summit=own)


def test_databases_are_made_in_utf8_by_a_server_that_has_others(
    tmp_path: Path, bytewise: URL, postgres_server: URL
) -> None:
    prepare_databases(of_server(tmp_path, bytewise))
    encodings = (
        "select pg_encoding_to_char(encoding) from pg_database where datname in ('dagster', 'fits_summit')"
    )
    assert administer(postgres_server, encodings) == ["UTF8", "UTF8"]


def test_a_database_in_another_encoding_is_refused_with_what_to_do(
    tmp_path: Path, bytewise: URL, postgres_server: URL
) -> None:
    own = bytewise.render_as_string(hide_password=False)
    with pytest.raises(DatabaseEncodingError, match=r"bytewise is in SQL_ASCII.*encoding 'UTF8'"):
        prepare_databases(of_server(tmp_path, postgres_server, database_url=own))
