"""whether anything has been associated yet

Revision ID: 0016
Revises: 0015
Create Date: 2026-11-27
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
# older ones would associate what is background work without looking for whom it concerns
programs_from = "0016"


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "association_begun",
        sa.Column("id", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("id = 1", name="association_begun_one"),
        sa.PrimaryKeyConstraint("id", name="pk_association_begun"),
    )
    op.execute("insert into association_begun (id) select 1 where exists (select from header)")


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table("association_begun")
