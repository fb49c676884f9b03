"""What every stage's process needs: imported once by a run's fork server, shared by all of them."""

from __future__ import annotations

import importlib

__all__: list[str] = []

_MODULES = (
    "dagster._core.executor.multiprocess",
    "dagster._core.executor.child_process_executor",
    "dagster_postgres",
    "psycopg",
    "psycopg2",
    "requests",
    "sqlalchemy.dialects.postgresql.psycopg",
)

for _name in _MODULES:
    importlib.import_module(_name)
