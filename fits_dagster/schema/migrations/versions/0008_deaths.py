"""workers that died with a file in hand are counted

Revision ID: 0008
Revises: 0007
Create Date: 2026-11-26
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.add_column(
        "work_item", sa.Column("deaths", sa.SmallInteger(), nullable=False, server_default=sa.text("0"))
    )
    op.add_column("work_item", sa.Column("lost_lease", sa.Text()))


def downgrade() -> None:
    """Undo this revision."""
    op.drop_column("work_item", "lost_lease")
    op.drop_column("work_item", "deaths")
