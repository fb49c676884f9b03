"""processing tags, and what they do to calibrations

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-24
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fits_dagster.fits.names import sort_key
from fits_dagster.nights import night_label

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")

# no tag is known yet: what is not raw is out of sight from now on, and out of the lists
_HIDE = """
update calibration_offer o set handicap = -1
from header h where h.id = o.header_id and h.processing is distinct from 'Raw'
"""
# handicaps are larger than any distance in time, that of a candidate without a time included
_DATE = "update calibration_offer set secs = -1000000000000 where secs = -1000000000000000"
_USERS = """
select distinct h.id, d.path, d.filename from calcache c
join header k on k.id = c.cal_hid and k.processing is distinct from 'Raw'
join header h on h.id = c.obs_hid join diskfile d on d.id = h.diskfile_id and d.canonical
"""
_QUEUE = sa.text("""
insert into work_item (stage, path, filename, night, sort_key, subject_id)
values ('associate', :path, :filename, :night, :sort_key, :id) on conflict do nothing
""")


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "processingtag",
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), server_default=_EMPTY, nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("published", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("description", sa.Text(), server_default=_EMPTY, nullable=False),
        sa.PrimaryKeyConstraint("tag", name=op.f("pk_processingtag")),
        sa.CheckConstraint("abs(priority) <= 1000000", name="processingtag_priority"),
    )
    op.create_index(
        "ix_header_processing_tag",
        "header",
        ["processing_tag"],
        postgresql_where=sa.text("processing_tag is not null"),
    )
    op.add_column(
        "calibration_offer",
        sa.Column("handicap", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.drop_index("ix_calibration_offer_walk", "calibration_offer")
    op.execute(_HIDE)
    op.execute(_DATE)
    op.create_index(
        "ix_calibration_offer_walk",
        "calibration_offer",
        [sa.text("hashtextextended(query || key, handicap)"), "secs", "wavelength"],
    )
    op.create_index(
        "ix_calibration_offer_tagged",
        "calibration_offer",
        ["query", "handicap"],
        postgresql_where=sa.text("handicap > 0"),
    )
    connection = op.get_bind()
    users = [
        {**row, "night": night_label(row["filename"]), "sort_key": sort_key(row["filename"])}
        for row in connection.execute(sa.text(_USERS)).mappings()
    ]
    if users:
        connection.execute(_QUEUE, users)


def downgrade() -> None:
    """Undo this revision."""
    op.drop_index("ix_calibration_offer_tagged", "calibration_offer")
    op.drop_index("ix_calibration_offer_walk", "calibration_offer")
    op.drop_column("calibration_offer", "handicap")
    op.create_index(
        "ix_calibration_offer_walk",
        "calibration_offer",
        [sa.text("hashtextextended(query || key, 0)"), "secs", "wavelength"],
    )
    op.drop_index("ix_header_processing_tag", "header")
    op.drop_table("processingtag")
