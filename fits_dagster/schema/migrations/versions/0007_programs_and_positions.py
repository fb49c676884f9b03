"""what is known of programs; indexes for positions and for objects' names in any case

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-26
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "program",
        sa.Column("program_id", sa.Text(), nullable=False),
        sa.Column("pi_coi_names", sa.Text(), server_default=_EMPTY, nullable=False),
        sa.Column("title", sa.Text(), server_default=_EMPTY, nullable=False),
        sa.PrimaryKeyConstraint("program_id", name=op.f("pk_program")),
    )
    op.create_table(
        "programpublication",
        sa.Column("program_id", sa.Text(), nullable=False),
        sa.Column("bibcode", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("program_id", "bibcode", name=op.f("pk_programpublication")),
    )
    op.create_index(op.f("ix_programpublication_bibcode"), "programpublication", ["bibcode"])
    op.create_index("ix_header_dec_ra", "header", ["dec", "ra"])
    op.create_index("ix_header_object_any_case", "header", [sa.text("lower(object) text_pattern_ops")])


def downgrade() -> None:
    """Undo this revision."""
    op.drop_index("ix_header_object_any_case", "header")
    op.drop_index("ix_header_dec_ra", "header")
    op.drop_table("programpublication")
    op.drop_table("program")
