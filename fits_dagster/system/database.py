"""Preparing the databases of a home directory."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from fits_dagster.database.server import (
    dagster_url,
    database_url,
    ensure_databases,
    open_engine,
    start_embedded_server,
    wait_until_ready,
)
from fits_dagster.schema.migrate import migrate, next_step
from fits_dagster.settings import Settings

__all__ = ["planned_migrations", "prepare_databases"]

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


def planned_migrations(settings: Settings) -> Iterator[str]:
    """Tell for each site what migrating would do, a line each.

    Raises
    ------
    FileNotFoundError
        The embedded server does not run.
    SchemaVersionError
        A database is of a version later than this one.
    """
    for site in settings.sites:
        engine = open_engine(settings, site, pool_size=1)
        try:
            step = next_step(engine)
        finally:
            engine.dispose()
        if not step.is_needed:
            yield f"{site}: schema {step.found}, nothing to do"
        elif step.older_go_on:
            yield f"{site}: schema {step.found} -> {step.wanted}; what runs may go on: upgrade it afterwards"
        else:
            yield (
                f"{site}: schema {step.found or 'none'} -> {step.wanted}; end first what uses the database: "
                "it is of a version that does not work with this schema"
            )
