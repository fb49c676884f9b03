"""A short look into a site's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from fits_dagster.database.server import database_url, open_engine, start_embedded_server
from fits_dagster.settings import Settings, SiteName

__all__ = ["awake", "site_database"]


def awake(settings: Settings, site: SiteName) -> None:
    """Start the embedded server of a site's database if it has one and that does not run.

    Raises
    ------
    FileNotFoundError
        There is no database server yet; to look at a home makes none.
    """
    database_url(settings, site)  # not known where there is no server
    if not (settings.database_url or settings.site(site).database_url):
        start_embedded_server(settings)


@contextmanager
def site_database(settings: Settings, site: SiteName) -> Iterator[Connection]:
    """Open a read-only connection to a site's database; an embedded server is started if need be.

    Raises
    ------
    FileNotFoundError
        There is no database server yet.
    """
    awake(settings, site)
    engine = open_engine(settings, site, pool_size=1)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("set transaction read only")
            yield connection
    finally:
        engine.dispose()
