"""files of a night are found by an index

Revision ID: 0014
Revises: 0013
Create Date: 2026-11-26
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
programs_from = "0013"

_LABEL = r"""substring({} from '[12][09]\d\d\d\d\d\d')"""


def upgrade() -> None:
    """Apply this revision."""
    op.create_index(
        "ix_diskfile_label",
        "diskfile",
        [sa.text(_LABEL.format("filename"))],
        postgresql_where=sa.text("path = ''"),
    )
    op.create_index("ix_dhs_file_label", "dhs_file", [sa.text(_LABEL.format("name"))])
    op.create_index(
        "ix_upload_label",
        "upload",
        [sa.text(_LABEL.format("filename"))],
        postgresql_where=sa.text("path = ''"),
    )


def downgrade() -> None:
    """Undo this revision."""
    for name in ("diskfile", "dhs_file", "upload"):
        op.drop_index(f"ix_{name}_label", table_name=name)
