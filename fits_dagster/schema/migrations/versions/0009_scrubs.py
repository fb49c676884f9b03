"""scrubs of the stores: what they found, and what was moved aside

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-26
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.func.now()
_EMPTY = sa.text("''")


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "scrub",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=False, server_default=_NOW),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("bad", sa.Integer(), nullable=False),
        sa.Column("restored", sa.Integer(), nullable=False),
        sa.Column("unread", sa.Integer(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("at", _TIME, nullable=False, server_default=_NOW),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("expected_md5", sa.Text(), nullable=False),
        sa.Column("found_md5", sa.Text()),
        sa.Column("kept_as", sa.Text()),
        sa.Column("restored_from", sa.Text()),
        sa.Column("detail", sa.Text(), nullable=False, server_default=_EMPTY),
    )
    op.create_index("ix_quarantine_file", "quarantine", ["filename", "path"])


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table("quarantine")
    op.drop_table("scrub")
