"""Bring a site's schema up to date (Alembic)."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

__all__ = ["alembic_config", "migrate"]

_SCRIPTS = Path(__file__).parent / "migrations"


def alembic_config() -> Config:
    """Return the configuration that points Alembic at this package's migrations."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config


def migrate(engine: Engine) -> None:
    """Apply the migrations that this database lacks; safe to call from several processes at once."""
    config = alembic_config()
    with engine.begin() as connection:
        connection.exec_driver_sql("select pg_advisory_xact_lock(726873)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
