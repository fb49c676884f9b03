"""Dagster's storage: PostgreSQL at the address that the settings name, connected when first needed."""

from __future__ import annotations

import os
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from fits_dagster.database.server import dagster_url
from fits_dagster.settings import load_settings

__all__ = ["DataflowStorage", "storage_url"]

_NO_SERVER_YET = "postgresql+psycopg2:///dagster"


def storage_url() -> str:
    """Return the address of Dagster's database; one that leads nowhere while there is no server."""
    url = os.environ.get("FITS_DAGSTER_DAGSTER_URL")
    if url:
        return url
    try:
        return dagster_url(load_settings()).render_as_string(hide_password=False)
    except FileNotFoundError:
        return _NO_SERVER_YET


class DataflowStorage(DagsterPostgresStorage):
    """PostgreSQL storage that takes its address from the settings of fits_dagster.

    Definitions can be loaded and validated without a database: nothing connects before it must, and the
    tables are made by ``python -m fits_dagster.orchestration.instance``.
    """

    @classmethod
    def config_type(cls) -> Any:
        """No configuration of its own."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Make the storage."""
        return cls(storage_url(), should_autocreate_tables=False, inst_data=inst_data)
