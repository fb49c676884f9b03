"""Alembic's environment: migrations run on the connection that the caller holds."""

from __future__ import annotations

from alembic import context

from fits_dagster.schema.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, compare_type=True
)
with context.begin_transaction():
    context.run_migrations()
