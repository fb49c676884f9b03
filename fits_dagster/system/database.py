"""Preparing the databases of a home directory."""

from __future__ import annotations

import logging

from fits_dagster.database.server import (
    dagster_url,
    database_url,
    ensure_databases,
    open_engine,
    start_embedded_server,
    wait_until_ready,
)
from fits_dagster.schema.migrate import migrate
from fits_dagster.settings import Settings

__all__ = ["prepare_databases"]

log = logging.getLogger(__name__)


def prepare_databases(settings: Settings) -> None:
    """Start the embedded server if none is named, make what is missing, apply the migrations.

    Raises
    ------
    sqlalchemy.exc.OperationalError
        The server of the settings does not answer.
    """
    if not settings.database_url:
        start_embedded_server(settings)
    for name, outcome in ensure_databases(settings).items():
        log.info("database %s: %s", name, outcome)
    wait_until_ready(dagster_url(settings))
    for site in settings.sites:
        wait_until_ready(database_url(settings, site))
        engine = open_engine(settings, site)
        try:
            migrate(engine)
        finally:
            engine.dispose()
