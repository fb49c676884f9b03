"""Bring a site's schema up to date (Alembic)."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from fits_dagster.database.own_tables import ensure_tables
from fits_dagster.records.instruments import plug_in_tables
from fits_dagster.stages.registry import all_stages

__all__ = ["SchemaVersionError", "alembic_config", "check_version", "migrate"]

_SCRIPTS = Path(__file__).parent / "migrations"


class SchemaVersionError(RuntimeError):
    """The database has the schema of another version of fits_dagster."""


def alembic_config() -> Config:
    """Return the configuration that points Alembic at this package's migrations."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config


def migrate(engine: Engine) -> None:
    """Apply the migrations that this database lacks, and make the tables of plug-ins that are missing.

    It is safe to call this from several processes at once.
    """
    config = alembic_config()
    with engine.begin() as connection:
        connection.exec_driver_sql("select pg_advisory_xact_lock(726873)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        ensure_tables(connection, plug_in_tables())
        for stage in all_stages().values():
            stage.prepare_database(connection)


def check_version(engine: Engine) -> None:
    """Make sure that a database has the schema that this version works with.

    Raises
    ------
    SchemaVersionError
        It has an older or a newer one; the message says what to do.
    """
    scripts = ScriptDirectory.from_config(alembic_config())
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    wanted = scripts.get_current_head()
    if found == wanted:
        return
    if found is None or found in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaVersionError(
            f"the database has schema {found or 'none'}, this version of fits_dagster works with {wanted}: "
            "run 'fits-dagster migrate' (or 'up') of this version first"
        )
    raise SchemaVersionError(
        f"the database has schema {found}, which this version of fits_dagster ({wanted}) does not know: "
        "upgrade fits_dagster on this machine"
    )
