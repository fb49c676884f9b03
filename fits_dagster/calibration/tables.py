"""Tables of the match keys: what a header can serve as (offers) and what it asks for (needs).

An offer and a need meet where their query and key are equal and the times fit; what cannot be said by
equality is a JSON path condition of the need on the attributes of the offer.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from fits_dagster.database.tables import metadata, timestamp

__all__ = ["calibration_need", "calibration_offer"]

#: One row per query that a header can answer; only of versions that are canonical and not failed.
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
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Index("ix_calibration_offer_walk", "query", "key", "secs"),
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
    #: JSON path predicate on the attributes of an offer.
    Column("condition", Text),
    #: For a list that is ordered by a score of time and wavelength: the two scales and the wavelength.
    Column("score_days", Double),
    Column("score_range", Double),
    Column("wavelength", Double),
    #: For a list that prefers candidates of the same observation.
    Column("observation_id", Text),
    #: Distance in seconds of the last of a full list: who is farther away cannot change the answer.
    Column("farthest", BigInteger),
    PrimaryKeyConstraint("header_id", "caltype", "part"),
    Index("ix_calibration_need_watch", "query", "key", "secs"),
)
