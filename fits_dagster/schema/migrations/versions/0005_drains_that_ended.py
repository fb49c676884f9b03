"""drains that have ended are told from those that died

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-25
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.add_column("drain", sa.Column("ended_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Undo this revision."""
    op.execute("delete from drain where ended_at is not null")
    op.drop_column("drain", "ended_at")
