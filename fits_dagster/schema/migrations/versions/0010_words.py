"""columns are called by the words that people use

Revision ID: 0010
Revises: 0009
Create Date: 2026-11-26
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_RENAMED = (
    ("calibration_offer", "handicap", "tag_rank"),
    ("alert", "told_at", "notified_at"),
    ("alert", "told_size", "notified_size"),
)


def upgrade() -> None:
    """Apply this revision."""
    for table, before, after in _RENAMED:
        op.alter_column(table, before, new_column_name=after)


def downgrade() -> None:
    """Undo this revision."""
    for table, before, after in _RENAMED:
        op.alter_column(table, after, new_column_name=before)
