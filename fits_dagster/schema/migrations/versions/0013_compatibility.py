"""which programs work with this schema

Revision ID: 0013
Revises: 0012
Create Date: 2026-11-26
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
programs_from = "0013"


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "schema_compatibility",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False, server_default="1"),
        sa.Column("programs_from", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table("schema_compatibility")
