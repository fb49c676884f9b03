"""roles, header edits, alerts, bookmarks, and indexes for long queues

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-23
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.func.now()
_EMPTY = sa.text("''")


def upgrade() -> None:
    """Apply this revision."""
    op.add_column("users", sa.Column("role", sa.Text()))
    op.execute("update users set role = 'staff' where gemini_staff")
    op.drop_column("users", "gemini_staff")
    op.create_check_constraint("users_role", "users", "role in ('reader', 'operator', 'staff')")
    op.create_table(
        "login_failure",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_failure")),
    )
    op.create_index("ix_login_failure_username", "login_failure", ["username", "at"])
    op.create_index("ix_login_failure_address", "login_failure", ["address", "at"])
    op.create_table(
        "header_edit",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column("cards", postgresql.JSONB(), nullable=False),
        sa.Column("asked_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("asked_by", sa.Text(), server_default=_EMPTY, nullable=False),
        sa.Column("applied_at", _TIME),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_header_edit")),
    )
    op.create_index(
        "ix_header_edit_waiting",
        "header_edit",
        ["filename", "path", "id"],
        postgresql_where=sa.text("applied_at is null"),
    )
    op.create_table(
        "alert",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("told_size", sa.BigInteger()),
        sa.Column("first_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("last_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("seen", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("told_at", _TIME),
        sa.Column("over_at", _TIME),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_alert")),
    )
    op.create_table(
        "bookmark",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("set_at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bookmark")),
    )
    op.add_column("drain", sa.Column("background", sa.Boolean()))
    op.create_index("ix_work_item_added", "work_item", ["stage", "state", "added_at"])
    op.create_index(
        "ix_work_item_failed",
        "work_item",
        ["stage", "failed_at"],
        postgresql_where=sa.text("state = 'failed'"),
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_index("ix_work_item_failed", "work_item")
    op.drop_index("ix_work_item_added", "work_item")
    op.drop_column("drain", "background")
    op.drop_table("bookmark")
    op.drop_table("alert")
    op.drop_table("header_edit")
    op.drop_table("login_failure")
    op.drop_constraint("users_role", "users")
    op.add_column(
        "users", sa.Column("gemini_staff", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.execute("update users set gemini_staff = (role = 'staff')")
    op.drop_column("users", "role")
