"""the association cache as rows

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-23
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.execute("""
create view calcache as
select a.header_id as obs_hid, a.caltype, (c.place - 1)::smallint as rank, c.cal_hid
from calibration_answer a cross join lateral unnest(a.cal_hids) with ordinality as c(cal_hid, place)
""")


def downgrade() -> None:
    """Undo this revision."""
    op.execute("drop view calcache")
