"""first schema

Revision ID: 0001
Revises:
Create Date: 2026-11-23
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""

    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
    op.create_table(
        "destination",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_destination")),
    )
    op.create_table(
        "dhs_file",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("md5", sa.Text(), nullable=False),
        sa.Column("landed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_dhs_file")),
    )
    op.create_table(
        "drain",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("nights", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("heartbeat", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stop_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drain")),
    )
    op.create_index(op.f("ix_drain_run_id"), "drain", ["run_id"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("night", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index("ix_event_at", "event", ["at"], unique=False)
    op.create_index("ix_event_file", "event", ["filename", "at"], unique=False)
    op.create_table(
        "file",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file")),
        sa.UniqueConstraint("name", name=op.f("uq_file_name")),
    )
    op.create_table(
        "pause",
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("paused_by", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("stage", name=op.f("pk_pause")),
    )
    op.create_table(
        "upload",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("staged_name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("md5", sa.Text(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("remote_address", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
        sa.UniqueConstraint("staged_name", name=op.f("uq_upload_staged_name")),
    )
    op.create_index(op.f("ix_upload_filename"), "upload", ["filename"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("fullname", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("gemini_staff", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "account_created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column(
            "password_changed", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("last_login", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("username", name=op.f("uq_users_username")),
    )
    op.create_table(
        "work_item",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("night", sa.Text(), nullable=False),
        sa.Column("sort_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("force", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("force_md5", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("no_defer", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("lease_expires", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'running') = (lease_token is not null)", name="work_item_lease"),
        sa.CheckConstraint("state in ('waiting', 'running', 'failed')", name="work_item_state"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_item")),
    )
    op.create_index("ix_work_item_due", "work_item", ["stage", "state", "priority", "sort_key"], unique=False)
    op.create_index("ix_work_item_file", "work_item", ["filename"], unique=False)
    op.create_index(
        "ix_work_item_lease",
        "work_item",
        ["lease_expires"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("ix_work_item_night", "work_item", ["night", "stage", "state"], unique=False)
    op.create_index(
        "uq_work_item_running",
        "work_item",
        ["stage", "path", "filename", "destination"],
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "uq_work_item_waiting",
        "work_item",
        ["stage", "path", "filename", "destination"],
        unique=True,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "diskfile",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("canonical", sa.Boolean(), nullable=False),
        sa.Column("file_md5", sa.Text(), nullable=False),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("lastmod", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entrytime", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("compressed", sa.Boolean(), nullable=False),
        sa.Column("data_md5", sa.Text(), nullable=False),
        sa.Column("data_size", sa.BigInteger(), nullable=False),
        sa.Column("isfits", sa.Boolean(), nullable=True),
        sa.Column("fvwarnings", sa.Integer(), nullable=True),
        sa.Column("fverrors", sa.Integer(), nullable=True),
        sa.Column("mdready", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["file_id"], ["file.id"], name=op.f("fk_diskfile_file_id_file")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_diskfile")),
    )
    op.create_index(op.f("ix_diskfile_canonical"), "diskfile", ["canonical"], unique=False)
    op.create_index(op.f("ix_diskfile_entrytime"), "diskfile", ["entrytime"], unique=False)
    op.create_index(op.f("ix_diskfile_file_id"), "diskfile", ["file_id"], unique=False)
    op.create_index(op.f("ix_diskfile_filename"), "diskfile", ["filename"], unique=False)
    op.create_index(op.f("ix_diskfile_lastmod"), "diskfile", ["lastmod"], unique=False)
    op.create_index(op.f("ix_diskfile_present"), "diskfile", ["present"], unique=False)
    op.create_index(
        "uq_diskfile_one_canonical",
        "diskfile",
        ["file_id", "path"],
        unique=True,
        postgresql_where=sa.text("canonical"),
    )
    op.create_index(
        "uq_diskfile_one_present",
        "diskfile",
        ["file_id", "path"],
        unique=True,
        postgresql_where=sa.text("present"),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_session_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_user_id"), "session", ["user_id"], unique=False)
    op.create_table(
        "diskfilereport",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("diskfile_id", sa.BigInteger(), nullable=False),
        sa.Column("fvreport", sa.Text(), nullable=True),
        sa.Column("mdreport", sa.Text(), nullable=True),
        sa.Column("mdstatus", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["diskfile_id"], ["diskfile.id"], name=op.f("fk_diskfilereport_diskfile_id_diskfile")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_diskfilereport")),
        sa.UniqueConstraint("diskfile_id", name=op.f("uq_diskfilereport_diskfile_id")),
    )
    op.create_table(
        "fulltextheader",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("diskfile_id", sa.BigInteger(), nullable=False),
        sa.Column("fulltext", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["diskfile_id"], ["diskfile.id"], name=op.f("fk_fulltextheader_diskfile_id_diskfile")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fulltextheader")),
        sa.UniqueConstraint("diskfile_id", name=op.f("uq_fulltextheader_diskfile_id")),
    )
    op.create_table(
        "header",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("diskfile_id", sa.BigInteger(), nullable=False),
        sa.Column("program_id", sa.Text(), nullable=True),
        sa.Column("engineering", sa.Boolean(), nullable=True),
        sa.Column("science_verification", sa.Boolean(), nullable=True),
        sa.Column("calibration_program", sa.Boolean(), nullable=True),
        sa.Column("processing", sa.Text(), nullable=True),
        sa.Column("processing_tag", sa.Text(), nullable=True),
        sa.Column("observation_id", sa.Text(), nullable=True),
        sa.Column("data_label", sa.Text(), nullable=True),
        sa.Column("telescope", sa.Text(), nullable=True),
        sa.Column("instrument", sa.Text(), nullable=True),
        sa.Column("ut_datetime", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ut_datetime_secs", sa.BigInteger(), nullable=True),
        sa.Column("local_time", sa.Time(), nullable=True),
        sa.Column("observation_type", sa.Text(), nullable=True),
        sa.Column("observation_class", sa.Text(), nullable=True),
        sa.Column("object", sa.Text(), nullable=True),
        sa.Column("ra", sa.Numeric(precision=16, scale=12), nullable=True),
        sa.Column("dec", sa.Numeric(precision=16, scale=12), nullable=True),
        sa.Column("azimuth", sa.Numeric(precision=16, scale=12), nullable=True),
        sa.Column("elevation", sa.Numeric(precision=16, scale=12), nullable=True),
        sa.Column("cass_rotator_pa", sa.Numeric(precision=16, scale=12), nullable=True),
        sa.Column("airmass", sa.Numeric(precision=8, scale=6), nullable=True),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("exposure_time", sa.Numeric(precision=12, scale=6), nullable=True),
        sa.Column("disperser", sa.Text(), nullable=True),
        sa.Column("camera", sa.Text(), nullable=True),
        sa.Column("central_wavelength", sa.Numeric(precision=8, scale=6), nullable=True),
        sa.Column("wavelength_band", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.Column("pupil_mask", sa.Text(), nullable=True),
        sa.Column("detector_binning", sa.Text(), nullable=True),
        sa.Column("detector_gain_setting", sa.Text(), nullable=True),
        sa.Column("detector_roi_setting", sa.Text(), nullable=True),
        sa.Column("detector_readspeed_setting", sa.Text(), nullable=True),
        sa.Column("detector_welldepth_setting", sa.Text(), nullable=True),
        sa.Column("detector_readmode_setting", sa.Text(), nullable=True),
        sa.Column("coadds", sa.Integer(), nullable=True),
        sa.Column("spectroscopy", sa.Boolean(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("adaptive_optics", sa.Boolean(), nullable=True),
        sa.Column("laser_guide_star", sa.Boolean(), nullable=True),
        sa.Column("wavefront_sensor", sa.Text(), nullable=True),
        sa.Column("gcal_lamp", sa.Text(), nullable=True),
        sa.Column("raw_iq", sa.SmallInteger(), nullable=True),
        sa.Column("raw_cc", sa.SmallInteger(), nullable=True),
        sa.Column("raw_wv", sa.SmallInteger(), nullable=True),
        sa.Column("raw_bg", sa.SmallInteger(), nullable=True),
        sa.Column("requested_iq", sa.SmallInteger(), nullable=True),
        sa.Column("requested_cc", sa.SmallInteger(), nullable=True),
        sa.Column("requested_wv", sa.SmallInteger(), nullable=True),
        sa.Column("requested_bg", sa.SmallInteger(), nullable=True),
        sa.Column("qa_state", sa.Text(), nullable=True),
        sa.Column("release", sa.Date(), nullable=True),
        sa.Column("reduction", sa.Text(), nullable=True),
        sa.Column("site_monitoring", sa.Boolean(), nullable=True),
        sa.Column("types", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("phot_standard", sa.Boolean(), nullable=True),
        sa.Column("proprietary_coordinates", sa.Boolean(), nullable=True),
        sa.Column("pre_image", sa.Boolean(), nullable=True),
        sa.Column("numpix", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["diskfile_id"], ["diskfile.id"], name=op.f("fk_header_diskfile_id_diskfile")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_header")),
        sa.UniqueConstraint("diskfile_id", name=op.f("uq_header_diskfile_id")),
    )
    op.create_index(op.f("ix_header_data_label"), "header", ["data_label"], unique=False)
    op.create_index("ix_header_instrument_ut", "header", ["instrument", "ut_datetime"], unique=False)
    op.create_index(op.f("ix_header_object"), "header", ["object"], unique=False)
    op.create_index(op.f("ix_header_observation_id"), "header", ["observation_id"], unique=False)
    op.create_index(op.f("ix_header_program_id"), "header", ["program_id"], unique=False)
    op.create_index(op.f("ix_header_ut_datetime"), "header", ["ut_datetime"], unique=False)
    op.create_table(
        "miscfile",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("diskfile_id", sa.BigInteger(), nullable=False),
        sa.Column("release", sa.DateTime(timezone=True), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("program_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["diskfile_id"], ["diskfile.id"], name=op.f("fk_miscfile_diskfile_id_diskfile")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_miscfile")),
        sa.UniqueConstraint("diskfile_id", name=op.f("uq_miscfile_diskfile_id")),
    )
    op.create_index(op.f("ix_miscfile_program_id"), "miscfile", ["program_id"], unique=False)
    op.create_table(
        "obslog",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("diskfile_id", sa.BigInteger(), nullable=False),
        sa.Column("program_id", sa.Text(), nullable=True),
        sa.Column("date", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["diskfile_id"], ["diskfile.id"], name=op.f("fk_obslog_diskfile_id_diskfile")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_obslog")),
        sa.UniqueConstraint("diskfile_id", name=op.f("uq_obslog_diskfile_id")),
    )
    op.create_index(op.f("ix_obslog_date"), "obslog", ["date"], unique=False)
    op.create_index(op.f("ix_obslog_program_id"), "obslog", ["program_id"], unique=False)
    op.create_table(
        "preview",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("diskfile_id", sa.BigInteger(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["diskfile_id"], ["diskfile.id"], name=op.f("fk_preview_diskfile_id_diskfile")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_preview")),
        sa.UniqueConstraint("diskfile_id", name=op.f("uq_preview_diskfile_id")),
    )
    op.create_table(
        "calibration_answer",
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("caltype", sa.Text(), nullable=False),
        sa.Column("cal_hids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("farthest", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("header_id", "caltype", name=op.f("pk_calibration_answer")),
    )
    op.create_table(
        "calibration_need",
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("caltype", sa.Text(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("secs", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.DateTime(timezone=True), nullable=True),
        sa.Column("high", sa.DateTime(timezone=True), nullable=True),
        sa.Column("low_secs", sa.BigInteger(), nullable=False),
        sa.Column("high_secs", sa.BigInteger(), nullable=False),
        sa.Column("howmany", sa.Integer(), nullable=False),
        sa.Column("cut", sa.Integer(), nullable=True),
        sa.Column("any_engineering", sa.Boolean(), nullable=False),
        sa.Column("least_wavelength", sa.Double(), nullable=False),
        sa.Column("most_wavelength", sa.Double(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=True),
        sa.Column("score_days", sa.Double(), nullable=True),
        sa.Column("score_range", sa.Double(), nullable=True),
        sa.Column("wavelength", sa.Double(), nullable=True),
        sa.Column("observation_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["header_id"], ["header.id"], name=op.f("fk_calibration_need_header_id_header")
        ),
        sa.PrimaryKeyConstraint("header_id", "caltype", "part", name=op.f("pk_calibration_need")),
    )
    op.create_index(
        "ix_calibration_need_watch",
        "calibration_need",
        [sa.literal_column("hashtextextended(query || key, 0)"), "secs"],
        unique=False,
    )
    op.create_table(
        "calibration_offer",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("secs", sa.BigInteger(), nullable=False),
        sa.Column("ut", sa.DateTime(timezone=True), nullable=True),
        sa.Column("engineering", sa.Boolean(), nullable=True),
        sa.Column("processing", sa.SmallInteger(), nullable=False),
        sa.Column("entrytime", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wavelength", sa.Double(), nullable=False),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["header_id"], ["header.id"], name=op.f("fk_calibration_offer_header_id_header")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibration_offer")),
    )
    op.create_index(op.f("ix_calibration_offer_header_id"), "calibration_offer", ["header_id"], unique=False)
    op.create_index("ix_calibration_offer_query", "calibration_offer", ["query", "secs"], unique=False)
    op.create_index(
        "ix_calibration_offer_walk",
        "calibration_offer",
        [sa.literal_column("hashtextextended(query || key, 0)"), "secs", "wavelength"],
        unique=False,
    )
    op.create_table(
        "f2",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("disperser", sa.Text(), nullable=True),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("lyot_stop", sa.Text(), nullable=True),
        sa.Column("read_mode", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_f2_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_f2")),
    )
    op.create_index(op.f("ix_f2_header_id"), "f2", ["header_id"], unique=False)
    op.create_table(
        "footprint",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("extension", sa.Text(), nullable=False),
        sa.Column("corners", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_footprint_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_footprint")),
        sa.UniqueConstraint("header_id", "extension", name=op.f("uq_footprint_header_id_extension")),
    )
    op.create_index(op.f("ix_footprint_header_id"), "footprint", ["header_id"], unique=False)
    op.create_table(
        "ghost",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=True),
        sa.Column("want_before_arc", sa.Boolean(), nullable=True),
        sa.Column("detector_name", sa.Text(), nullable=True),
        sa.Column("detector_x_bin", sa.Integer(), nullable=True),
        sa.Column("detector_y_bin", sa.Integer(), nullable=True),
        sa.Column("exposure_time", sa.Numeric(precision=8, scale=4), nullable=True),
        sa.Column("gain_setting", sa.Text(), nullable=True),
        sa.Column("read_speed_setting", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.Column("prepared", sa.Boolean(), nullable=True),
        sa.Column("overscan_subtracted", sa.Boolean(), nullable=True),
        sa.Column("overscan_trimmed", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_ghost_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ghost")),
    )
    op.create_index(op.f("ix_ghost_header_id"), "ghost", ["header_id"], unique=False)
    op.create_table(
        "gmos",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("disperser", sa.Text(), nullable=True),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("detector_x_bin", sa.Integer(), nullable=True),
        sa.Column("detector_y_bin", sa.Integer(), nullable=True),
        sa.Column("array_name", sa.Text(), nullable=True),
        sa.Column("amp_read_area", sa.Text(), nullable=True),
        sa.Column("read_speed_setting", sa.Text(), nullable=True),
        sa.Column("gain_setting", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.Column("nodandshuffle", sa.Boolean(), nullable=True),
        sa.Column("nod_count", sa.Integer(), nullable=True),
        sa.Column("nod_pixels", sa.Integer(), nullable=True),
        sa.Column("prepared", sa.Boolean(), nullable=True),
        sa.Column("overscan_subtracted", sa.Boolean(), nullable=True),
        sa.Column("overscan_trimmed", sa.Boolean(), nullable=True),
        sa.Column("grating_order", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_gmos_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gmos")),
    )
    op.create_index(op.f("ix_gmos_header_id"), "gmos", ["header_id"], unique=False)
    op.create_table(
        "gnirs",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("disperser", sa.Text(), nullable=True),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("read_mode", sa.Text(), nullable=True),
        sa.Column("well_depth_setting", sa.Text(), nullable=True),
        sa.Column("camera", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.Column("array_name", sa.Text(), nullable=True),
        sa.Column("prism_motor_steps", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_gnirs_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gnirs")),
    )
    op.create_index(op.f("ix_gnirs_header_id"), "gnirs", ["header_id"], unique=False)
    op.create_table(
        "gpi",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("disperser", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.Column("pupil_mask", sa.Text(), nullable=True),
        sa.Column("astrometric_standard", sa.Boolean(), nullable=True),
        sa.Column("wollaston", sa.Boolean(), nullable=True),
        sa.Column("prism", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_gpi_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gpi")),
    )
    op.create_index(op.f("ix_gpi_header_id"), "gpi", ["header_id"], unique=False)
    op.create_table(
        "gsaoi",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("read_mode", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_gsaoi_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gsaoi")),
    )
    op.create_index(op.f("ix_gsaoi_header_id"), "gsaoi", ["header_id"], unique=False)
    op.create_table(
        "michelle",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("disperser", sa.Text(), nullable=True),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("read_mode", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_michelle_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_michelle")),
    )
    op.create_index(op.f("ix_michelle_header_id"), "michelle", ["header_id"], unique=False)
    op.create_table(
        "nici",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.Column("disperser", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_nici_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nici")),
    )
    op.create_index(op.f("ix_nici_header_id"), "nici", ["header_id"], unique=False)
    op.create_table(
        "nifs",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("disperser", sa.Text(), nullable=True),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("read_mode", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_nifs_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nifs")),
    )
    op.create_index(op.f("ix_nifs_header_id"), "nifs", ["header_id"], unique=False)
    op.create_table(
        "niri",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("disperser", sa.Text(), nullable=True),
        sa.Column("filter_name", sa.Text(), nullable=True),
        sa.Column("read_mode", sa.Text(), nullable=True),
        sa.Column("well_depth_setting", sa.Text(), nullable=True),
        sa.Column("data_section", sa.Text(), nullable=True),
        sa.Column("camera", sa.Text(), nullable=True),
        sa.Column("focal_plane_mask", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_niri_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_niri")),
    )
    op.create_index(op.f("ix_niri_header_id"), "niri", ["header_id"], unique=False)
    op.create_table(
        "reduction",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("header_id", sa.BigInteger(), nullable=False),
        sa.Column("processing_intent", sa.Text(), nullable=True),
        sa.Column("software_mode", sa.Text(), nullable=True),
        sa.Column("software_used", sa.Text(), nullable=True),
        sa.Column("software_version", sa.Text(), nullable=True),
        sa.Column("processing_initiated_by", sa.Text(), nullable=True),
        sa.Column("processing_reviewed_by", sa.Text(), nullable=True),
        sa.Column("processing_review_outcome", sa.Text(), nullable=True),
        sa.Column("processing_level", sa.Integer(), nullable=True),
        sa.Column("processing_tag", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["header_id"], ["header.id"], name=op.f("fk_reduction_header_id_header")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reduction")),
        sa.UniqueConstraint("header_id", name=op.f("uq_reduction_header_id")),
    )


def downgrade() -> None:
    """Undo this revision."""

    op.drop_table("reduction")
    op.drop_index(op.f("ix_niri_header_id"), table_name="niri")
    op.drop_table("niri")
    op.drop_index(op.f("ix_nifs_header_id"), table_name="nifs")
    op.drop_table("nifs")
    op.drop_index(op.f("ix_nici_header_id"), table_name="nici")
    op.drop_table("nici")
    op.drop_index(op.f("ix_michelle_header_id"), table_name="michelle")
    op.drop_table("michelle")
    op.drop_index(op.f("ix_gsaoi_header_id"), table_name="gsaoi")
    op.drop_table("gsaoi")
    op.drop_index(op.f("ix_gpi_header_id"), table_name="gpi")
    op.drop_table("gpi")
    op.drop_index(op.f("ix_gnirs_header_id"), table_name="gnirs")
    op.drop_table("gnirs")
    op.drop_index(op.f("ix_gmos_header_id"), table_name="gmos")
    op.drop_table("gmos")
    op.drop_index(op.f("ix_ghost_header_id"), table_name="ghost")
    op.drop_table("ghost")
    op.drop_index(op.f("ix_footprint_header_id"), table_name="footprint")
    op.drop_table("footprint")
    op.drop_index(op.f("ix_f2_header_id"), table_name="f2")
    op.drop_table("f2")
    op.drop_index("ix_calibration_offer_walk", table_name="calibration_offer")
    op.drop_index("ix_calibration_offer_query", table_name="calibration_offer")
    op.drop_index(op.f("ix_calibration_offer_header_id"), table_name="calibration_offer")
    op.drop_table("calibration_offer")
    op.drop_index("ix_calibration_need_watch", table_name="calibration_need")
    op.drop_table("calibration_need")
    op.drop_table("preview")
    op.drop_index(op.f("ix_obslog_program_id"), table_name="obslog")
    op.drop_index(op.f("ix_obslog_date"), table_name="obslog")
    op.drop_table("obslog")
    op.drop_index(op.f("ix_miscfile_program_id"), table_name="miscfile")
    op.drop_table("miscfile")
    op.drop_index(op.f("ix_header_ut_datetime"), table_name="header")
    op.drop_index(op.f("ix_header_program_id"), table_name="header")
    op.drop_index(op.f("ix_header_observation_id"), table_name="header")
    op.drop_index(op.f("ix_header_object"), table_name="header")
    op.drop_index("ix_header_instrument_ut", table_name="header")
    op.drop_index(op.f("ix_header_data_label"), table_name="header")
    op.drop_table("header")
    op.drop_table("fulltextheader")
    op.drop_table("diskfilereport")
    op.drop_index(op.f("ix_session_user_id"), table_name="session")
    op.drop_table("session")
    op.drop_index("uq_diskfile_one_present", table_name="diskfile", postgresql_where=sa.text("present"))
    op.drop_index("uq_diskfile_one_canonical", table_name="diskfile", postgresql_where=sa.text("canonical"))
    op.drop_index(op.f("ix_diskfile_present"), table_name="diskfile")
    op.drop_index(op.f("ix_diskfile_lastmod"), table_name="diskfile")
    op.drop_index(op.f("ix_diskfile_filename"), table_name="diskfile")
    op.drop_index(op.f("ix_diskfile_file_id"), table_name="diskfile")
    op.drop_index(op.f("ix_diskfile_entrytime"), table_name="diskfile")
    op.drop_index(op.f("ix_diskfile_canonical"), table_name="diskfile")
    op.drop_table("diskfile")
    op.drop_index(
        "uq_work_item_waiting", table_name="work_item", postgresql_where=sa.text("state = 'waiting'")
    )
    op.drop_index(
        "uq_work_item_running", table_name="work_item", postgresql_where=sa.text("state = 'running'")
    )
    op.drop_index("ix_work_item_night", table_name="work_item")
    op.drop_index("ix_work_item_lease", table_name="work_item", postgresql_where=sa.text("state = 'running'"))
    op.drop_index("ix_work_item_file", table_name="work_item")
    op.drop_index("ix_work_item_due", table_name="work_item")
    op.drop_table("work_item")
    op.drop_table("users")
    op.drop_index(op.f("ix_upload_filename"), table_name="upload")
    op.drop_table("upload")
    op.drop_table("pause")
    op.drop_table("file")
    op.drop_index("ix_event_file", table_name="event")
    op.drop_index("ix_event_at", table_name="event")
    op.drop_table("event")
    op.drop_index(op.f("ix_drain_run_id"), table_name="drain")
    op.drop_table("drain")
    op.drop_table("dhs_file")
    op.drop_table("destination")
    op.drop_table("calibration_answer")
    op.drop_index(op.f("ix_audit_at"), table_name="audit")
    op.drop_table("audit")
