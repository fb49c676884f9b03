"""how far a need reaches, in its own row and in an index; conditions of needs are parsed once

Revision ID: 0017
Revises: 0016
Create Date: 2026-11-27
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
# older ones would note how far a need reaches where nobody looks any more
programs_from = "0017"

# a text that is contained is mostly equal, which is told far sooner
_CONTAINS = r'''(\$\."[^"]+") like_regex ("(?:[^"\\]|\\.)*") flag "q"'''
_EQUAL_OR_CONTAINS = r"""(\1 == \2 || \1 like_regex \2 flag "q")"""
_WIDTHS = ",".join(str(60 * 4**number) for number in range(13))


def upgrade() -> None:
    """Apply this revision."""
    op.add_column("calibration_need", sa.Column("farthest", sa.BigInteger(), nullable=True))
    op.execute(
        "alter table calibration_need alter column condition type jsonpath using "
        f"cast(regexp_replace(condition, '{_CONTAINS}', '{_EQUAL_OR_CONTAINS}', 'g') as jsonpath)"
    )
    op.execute(
        "update calibration_need n set farthest = a.farthest[n.part + 1] from calibration_answer a "
        "where a.header_id = n.header_id and a.caltype = n.caltype and a.farthest[n.part + 1] is not null"
    )
    op.drop_column("calibration_answer", "farthest")
    op.create_index(
        "ix_calibration_need_reach",
        "calibration_need",
        [
            sa.text("hashtextextended(query || key, 0)"),
            sa.text(f"COALESCE(width_bucket(farthest, '{{{_WIDTHS}}}'::bigint[]), '-1'::integer)"),
            "secs",
        ],
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_index("ix_calibration_need_reach", table_name="calibration_need")
    op.add_column(
        "calibration_answer",
        sa.Column("farthest", postgresql.ARRAY(sa.BigInteger()), nullable=False, server_default="{}"),
    )
    op.execute(
        "update calibration_answer a set farthest = n.farthest from (select header_id, caltype, "
        "array_agg(farthest order by part) as farthest from calibration_need group by header_id, caltype) n "
        "where n.header_id = a.header_id and n.caltype = a.caltype"
    )
    op.alter_column("calibration_answer", "farthest", server_default=None)
    op.drop_column("calibration_need", "farthest")
    op.alter_column(
        "calibration_need",
        "condition",
        type_=sa.Text(),
        postgresql_using="cast(condition as text)",
    )
