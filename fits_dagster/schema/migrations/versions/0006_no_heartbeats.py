"""runs show that they live by a lock of their connection, no longer by rows

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-26
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.drop_table("drain")


def downgrade() -> None:
    """Undo this revision; what was at work then is long over, so the table comes back empty."""
    now = sa.text("now()")
    op.create_table(
        "drain",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("run_id", sa.Text(), nullable=False, index=True),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("nights", postgresql.JSONB(), nullable=False),
        sa.Column("background", sa.Boolean()),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("heartbeat", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("stop_requested", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
    )
