"""Tables of a site's database: files, their versions, their headers and what follows from them.

Every time column is ``timestamptz`` and holds UTC. Column names are those of the archive's records.
Instrument tables are in :mod:`fits_dagster.records.instruments`, queues in
:mod:`fits_dagster.ledger.tables`, people in :mod:`fits_dagster.records.accounts`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    TextClause,
    Time,
    UniqueConstraint,
    column,
    func,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

__all__ = [
    "HEADER_COLUMNS",
    "calcache",
    "diskfile",
    "diskfile_report",
    "file",
    "footprint",
    "fulltextheader",
    "header",
    "label_in",
    "metadata",
    "miscfile",
    "obslog",
    "preview",
    "reduction",
    "timestamp",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

timestamp = DateTime(timezone=True)
degrees = Numeric(16, 12)


def _key(*, big: bool = True) -> Column[int]:
    return Column("id", BigInteger if big else Integer, primary_key=True)


def label_in(column: str) -> TextClause:
    """Return the first eight digits of a name that may be a night's label, for an index and its questions."""
    # as the server writes it, so that the two can be compared
    return text(f"\"substring\"({column}, '[12][09]\\d\\d\\d\\d\\d\\d'::text)")


#: One row per trimmed file name (without ``.bz2``), whatever its paths and versions.
file = Table("file", metadata, _key(), Column("name", Text, nullable=False, unique=True))

#: One row per version of a file at a path; rows are never deleted.
diskfile = Table(
    "diskfile",
    metadata,
    _key(),
    Column("file_id", ForeignKey("file.id"), nullable=False, index=True),
    Column("filename", Text, nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("present", Boolean, nullable=False, index=True),
    Column("canonical", Boolean, nullable=False, index=True),
    Column("file_md5", Text, nullable=False),
    Column("file_size", BigInteger, nullable=False),
    Column("lastmod", timestamp, nullable=False, index=True),
    Column("entrytime", timestamp, nullable=False, index=True, server_default=func.now()),
    Column("compressed", Boolean, nullable=False),
    Column("data_md5", Text, nullable=False),
    Column("data_size", BigInteger, nullable=False),
    Column("isfits", Boolean),
    Column("fvwarnings", Integer),
    Column("fverrors", Integer),
    Column("mdready", Boolean),
    Index("uq_diskfile_one_canonical", "file_id", "path", unique=True, postgresql_where=text("canonical")),
    Index("uq_diskfile_one_present", "file_id", "path", unique=True, postgresql_where=text("present")),
    Index("ix_diskfile_label", label_in("filename"), postgresql_where=text("path = ''")),
)

#: What the structural and the metadata check said.
diskfile_report = Table(
    "diskfilereport",
    metadata,
    _key(),
    Column("diskfile_id", ForeignKey("diskfile.id"), nullable=False, unique=True),
    Column("fvreport", Text),
    Column("mdreport", Text),
    Column("mdstatus", Text),
)

#: Text of the headers of every HDU.
fulltextheader = Table(
    "fulltextheader",
    metadata,
    _key(),
    Column("diskfile_id", ForeignKey("diskfile.id"), nullable=False, unique=True),
    Column("fulltext", Text, nullable=False),
)

#: The record of one version of a FITS file.
header = Table(
    "header",
    metadata,
    _key(),
    Column("diskfile_id", ForeignKey("diskfile.id"), nullable=False, unique=True),
    Column("program_id", Text, index=True),
    Column("engineering", Boolean),
    Column("science_verification", Boolean),
    Column("calibration_program", Boolean),
    Column("processing", Text),
    Column("processing_tag", Text),
    Column("observation_id", Text, index=True),
    Column("data_label", Text, index=True),
    Column("telescope", Text),
    Column("instrument", Text),
    Column("ut_datetime", timestamp, index=True),
    Column("ut_datetime_secs", BigInteger),
    Column("local_time", Time),
    Column("observation_type", Text),
    Column("observation_class", Text),
    Column("object", Text, index=True),
    Column("ra", degrees),
    Column("dec", degrees),
    Column("azimuth", degrees),
    Column("elevation", degrees),
    Column("cass_rotator_pa", degrees),
    Column("airmass", Numeric(8, 6)),
    Column("filter_name", Text),
    Column("exposure_time", Numeric(12, 6)),
    Column("disperser", Text),
    Column("camera", Text),
    Column("central_wavelength", Numeric(8, 6)),
    Column("wavelength_band", Text),
    Column("focal_plane_mask", Text),
    Column("pupil_mask", Text),
    Column("detector_binning", Text),
    Column("detector_gain_setting", Text),
    Column("detector_roi_setting", Text),
    Column("detector_readspeed_setting", Text),
    Column("detector_welldepth_setting", Text),
    Column("detector_readmode_setting", Text),
    Column("coadds", Integer),
    Column("spectroscopy", Boolean),
    Column("mode", Text),
    Column("adaptive_optics", Boolean),
    Column("laser_guide_star", Boolean),
    Column("wavefront_sensor", Text),
    Column("gcal_lamp", Text),
    Column("raw_iq", SmallInteger),
    Column("raw_cc", SmallInteger),
    Column("raw_wv", SmallInteger),
    Column("raw_bg", SmallInteger),
    Column("requested_iq", SmallInteger),
    Column("requested_cc", SmallInteger),
    Column("requested_wv", SmallInteger),
    Column("requested_bg", SmallInteger),
    Column("qa_state", Text),
    Column("release", Date),
    Column("reduction", Text),
    Column("site_monitoring", Boolean),
    Column("types", ARRAY(Text)),
    Column("phot_standard", Boolean),
    Column("proprietary_coordinates", Boolean),
    Column("pre_image", Boolean),
    Column("numpix", BigInteger),
    Index("ix_header_instrument_ut", "instrument", "ut_datetime"),
    Index("ix_header_dec_ra", "dec", "ra"),
    Index(
        "ix_header_processing_tag",
        "processing_tag",
        postgresql_where=text("processing_tag is not null"),
    ),
)

Index(
    "ix_header_object_any_case",
    func.lower(header.c.object).label("object_any_case"),
    postgresql_ops={"object_any_case": "text_pattern_ops"},
)

#: Columns of :data:`header` that come from the file (all but the keys).
HEADER_COLUMNS: tuple[str, ...] = tuple(c.name for c in header.columns if c.name not in ("id", "diskfile_id"))

#: How a processed file came about.
reduction = Table(
    "reduction",
    metadata,
    _key(),
    Column("header_id", ForeignKey("header.id"), nullable=False, unique=True),
    Column("processing_intent", Text),
    Column("software_mode", Text),
    Column("software_used", Text),
    Column("software_version", Text),
    Column("processing_initiated_by", Text),
    Column("processing_reviewed_by", Text),
    Column("processing_review_outcome", Text),
    Column("processing_level", Integer),
    Column("processing_tag", Text),
)

#: Sky corners of one extension: four [ra, dec] pairs, degrees.
footprint = Table(
    "footprint",
    metadata,
    _key(),
    Column("header_id", ForeignKey("header.id"), nullable=False, index=True),
    Column("extension", Text, nullable=False),
    Column("corners", JSONB, nullable=False),
    UniqueConstraint("header_id", "extension"),
)

obslog = Table(
    "obslog",
    metadata,
    _key(),
    Column("diskfile_id", ForeignKey("diskfile.id"), nullable=False, unique=True),
    Column("program_id", Text, index=True),
    Column("date", Date, index=True),
)

miscfile = Table(
    "miscfile",
    metadata,
    _key(),
    Column("diskfile_id", ForeignKey("diskfile.id"), nullable=False, unique=True),
    Column("release", timestamp, nullable=False),
    Column("description", Text),
    Column("program_id", Text, index=True),
)

preview = Table(
    "preview",
    metadata,
    _key(),
    Column("diskfile_id", ForeignKey("diskfile.id"), nullable=False, unique=True),
    Column("filename", Text, nullable=False),
    Column("made_at", timestamp, nullable=False, server_default=func.now()),
)

#: Calibration association cache, a view: rank 0 is the best of its type. The engine keeps each list in one
#: row of ``calibration_answer``.
calcache = table("calcache", column("obs_hid"), column("caltype"), column("rank"), column("cal_hid"))
