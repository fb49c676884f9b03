"""tokens that show what their owner may see

Revision ID: 0015
Revises: 0014
Create Date: 2026-11-26
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
programs_from = "0013"


def upgrade() -> None:
    """Apply this revision."""
    owner = sa.ForeignKey("users.id", ondelete="CASCADE", name="fk_access_token_owner_id_users")
    op.add_column("access_token", sa.Column("owner_id", sa.BigInteger(), owner))
    op.drop_constraint("access_token_scope", "access_token", type_="check")
    op.create_check_constraint("access_token_scope", "access_token", "scope in ('upload', 'edit', 'read')")
    op.create_check_constraint(
        "access_token_owner", "access_token", "(scope = 'read') = (owner_id is not null)"
    )


def downgrade() -> None:
    """Undo this revision."""
    op.execute("delete from access_token where scope = 'read'")
    op.drop_constraint("access_token_owner", "access_token", type_="check")
    op.drop_constraint("access_token_scope", "access_token", type_="check")
    op.create_check_constraint("access_token_scope", "access_token", "scope in ('upload', 'edit')")
    op.drop_column("access_token", "owner_id")
