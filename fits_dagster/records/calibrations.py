"""Tables of the match keys: what a header can serve as (offers), what it asks for (needs), and the answers.

An offer and a need meet where their query and key are equal and the times fit; what cannot be said by
equality is a JSON path condition of the need on the attributes of the offer.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    TextClause,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH

from fits_dagster.records.tables import metadata, timestamp

__all__ = [
    "BAND_WIDTHS",
    "CALCACHE_VIEW",
    "calibration_answer",
    "calibration_need",
    "calibration_offer",
    "need_band",
]

#: Seconds, from a minute to thirty years: the bands by which needs are found that reach far enough.
BAND_WIDTHS: Final = tuple(60 * 4**number for number in range(13))


def need_band(farthest: str) -> TextClause:
    """Return the SQL of a need's band, -1 without a limit, from the SQL of how far the need reaches."""
    # as the server writes it, so that the two can be compared
    widths = ",".join(map(str, BAND_WIDTHS))
    return text(f"COALESCE(width_bucket({farthest}, '{{{widths}}}'::bigint[]), '-1'::integer)")


#: One row per query that a header can answer; only of versions that are canonical and not failed. Those that
#: nobody may see are here, too, and wait for their processing tag to be published.
calibration_offer = Table(
    "calibration_offer",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("header_id", ForeignKey("header.id"), nullable=False, index=True),
    Column("query", Text, nullable=False),
    Column("key", Text, nullable=False),
    #: Whole seconds since 2000; far in the past for a candidate without a time, which thus comes last.
    Column("secs", BigInteger, nullable=False),
    Column("ut", timestamp),
    Column("engineering", Boolean),
    #: Position of the header's ``processing`` in its vocabulary, lowest first.
    Column("processing", SmallInteger, nullable=False),
    Column("entrytime", timestamp, nullable=False),
    #: Micrometres; -1 if not known.
    Column("wavelength", Double, nullable=False),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    #: What the processing tag does to the rank, see :mod:`fits_dagster.calibration.meeting`.
    Column("tag_rank", BigInteger, nullable=False, server_default=text("0")),
    Index(
        "ix_calibration_offer_walk", text("hashtextextended(query || key, tag_rank)"), "secs", "wavelength"
    ),
    Index("ix_calibration_offer_query", "query", "secs"),
    Index("ix_calibration_offer_tagged", "query", "tag_rank", postgresql_where=text("tag_rank > 0")),
)

#: One row per list of candidates that the associations of a header are made from.
calibration_need = Table(
    "calibration_need",
    metadata,
    Column("header_id", ForeignKey("header.id"), nullable=False),
    Column("caltype", Text, nullable=False),
    #: Several lists of one type take turns in the answer.
    Column("part", SmallInteger, nullable=False),
    Column("query", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("secs", BigInteger, nullable=False),
    #: The candidate's time lies strictly between; null for no limit.
    Column("low", timestamp),
    Column("high", timestamp),
    #: The same limits in whole seconds, a little wider, for the index.
    Column("low_secs", BigInteger, nullable=False),
    Column("high_secs", BigInteger, nullable=False),
    #: Length of this list, and of the answer that several lists make together.
    Column("howmany", Integer, nullable=False),
    Column("cut", Integer),
    Column("any_engineering", Boolean, nullable=False),
    #: The candidate's wavelength lies strictly between.
    Column("least_wavelength", Double, nullable=False),
    Column("most_wavelength", Double, nullable=False),
    #: JSON path predicate on the attributes of an offer.
    Column("condition", JSONPATH),
    #: For a list that is ordered by a score of time and wavelength: the two scales and the wavelength.
    Column("score_days", Double),
    Column("score_range", Double),
    Column("wavelength", Double),
    #: For a list that prefers candidates of the same observation.
    Column("observation_id", Text),
    #: Distance of the last of the list if it is full, seconds and tag_rank, else null: who is farther changes
    #: nothing.
    Column("farthest", BigInteger),
    PrimaryKeyConstraint("header_id", "caltype", "part"),
    Index("ix_calibration_need_watch", text("hashtextextended(query || key, 0)"), "secs"),
    Index(
        "ix_calibration_need_reach",
        text("hashtextextended(query || key, 0)"),
        need_band("farthest"),
        "secs",
    ),
)

#: One row per target and type for which something was found. It has no foreign keys: rows come from needs and
#: offers, which have them, and headers are never deleted.
calibration_answer = Table(
    "calibration_answer",
    metadata,
    Column("header_id", BigInteger, nullable=False),
    Column("caltype", Text, nullable=False),
    #: Headers of the calibrations, best first.
    Column("cal_hids", ARRAY(BigInteger), nullable=False),
    PrimaryKeyConstraint("header_id", "caltype"),
)

#: One row, or none as long as no target has ever been associated.
association_begun = Table(
    "association_begun",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("at", timestamp, nullable=False, server_default=func.now()),
    CheckConstraint("id = 1", name="association_begun_one"),
)

CALCACHE_VIEW: Final = """
create view calcache as
select a.header_id as obs_hid, a.caltype, (c.place - 1)::smallint as rank, c.cal_hid
from calibration_answer a cross join lateral unnest(a.cal_hids) with ordinality as c(cal_hid, place)
"""

event.listen(calibration_answer, "after_create", DDL(CALCACHE_VIEW))  # type: ignore[no-untyped-call]
