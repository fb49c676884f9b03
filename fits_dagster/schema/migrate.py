"""Bring a site's schema up to date (Alembic)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from fits_dagster.database.own_tables import ensure_tables
from fits_dagster.records.instruments import plug_in_tables
from fits_dagster.schema.compatibility import Step, note_oldest, oldest_programs
from fits_dagster.stages.registry import all_stages

__all__ = ["SchemaVersionError", "alembic_config", "check_version", "migrate", "next_step"]

log = logging.getLogger(__name__)

_SCRIPTS: Final = Path(__file__).parent / "migrations"
#: A migration waits for a table for so long at a time, milliseconds; and is tried again for so long, seconds.
_LOCK_MS: Final = 3000
_PATIENCE_S: Final = 300.0


class SchemaVersionError(RuntimeError):
    """The database has the schema of another version of fits_dagster."""


def alembic_config() -> Config:
    """Return the configuration that points Alembic at this package's migrations."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config


def migrate(engine: Engine) -> None:
    """Apply the migrations that this database lacks, and make the tables of plug-ins that are missing.

    It is safe to call this from several processes at once, and while others work with the database: who
    waits for a table behind a long transaction would hold up all others, so it is given up and tried again.

    Raises
    ------
    sqlalchemy.exc.OperationalError
        A table was in use for minutes.
    """
    for attempt in Retrying(
        retry=retry_if_exception(_is_about_locks),
        stop=stop_after_delay(_PATIENCE_S),
        wait=wait_random(0.5, 2),
        reraise=True,
    ):
        with attempt:
            _migrate(engine)


def _migrate(engine: Engine) -> None:
    config = alembic_config()
    with engine.begin() as connection:
        connection.exec_driver_sql("select pg_advisory_xact_lock(726873)")
        step = _step(connection)
        if step.is_needed:
            connection.exec_driver_sql(f"set local lock_timeout = {_LOCK_MS}")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            note_oldest(connection, step.programs_from)
        ensure_tables(connection, plug_in_tables())
        for stage in all_stages().values():
            stage.prepare_database(connection)


def _is_about_locks(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and isinstance(error.orig, LockNotAvailable)


def next_step(engine: Engine) -> Step:
    """Tell what :func:`migrate` would do.

    Raises
    ------
    SchemaVersionError
        The database has a schema that this version does not know.
    """
    with engine.connect() as connection:
        return _step(connection)


def _step(connection: Connection) -> Step:
    scripts = ScriptDirectory.from_config(alembic_config())
    found = MigrationContext.configure(connection).get_current_revision()
    head = scripts.get_revision("head")
    assert head is not None
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaVersionError(
            f"the database has schema {found}, which this version of fits_dagster ({head.revision}) does not "
            "know: upgrade fits_dagster on this machine"
        )
    return Step(found, head.revision, head.module.programs_from)


def check_version(engine: Engine) -> None:
    """Make sure that this version works with the schema that a database has.

    A newer one is well when it says so: machines are upgraded one after the other.

    Raises
    ------
    SchemaVersionError
        It has an older one, or a newer one that this version does not work with; the message says what to do.
    """
    try:
        step = next_step(engine)
    except SchemaVersionError:
        ours = ScriptDirectory.from_config(alembic_config()).get_current_head()
        with engine.connect() as connection:
            oldest = oldest_programs(connection)
        if ours is None or oldest is None or oldest > ours:
            raise
        log.warning("the database is of a later version, which this one may work with: upgrade it soon")
        return
    if step.is_needed:
        raise SchemaVersionError(
            f"the database has schema {step.found or 'none'}, this version of fits_dagster works with "
            f"{step.wanted}: run 'fits-dagster migrate' (or 'up') of this version first"
        )
