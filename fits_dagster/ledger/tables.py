"""Tables of the work in hand: work items, their history, uploads, edits, DHS files, destinations, alerts.

A work item is one file waiting for one stage; its states are in :mod:`fits_dagster.ledger.states`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from fits_dagster.records.tables import label_in, metadata, timestamp

__all__ = [
    "alert",
    "audit",
    "bookmark",
    "destination",
    "dhs_file",
    "event",
    "header_edit",
    "pause",
    "quarantine",
    "scrub",
    "upload",
    "work_item",
]

_NOW = func.now()
_EMPTY = text("''")

work_item = Table(
    "work_item",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("path", Text, nullable=False, server_default=_EMPTY),
    Column("filename", Text, nullable=False),
    Column("destination", Text, nullable=False, server_default=_EMPTY),
    Column("night", Text, nullable=False),
    Column("sort_key", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    #: Live files 0, backfills below, repairs by hand above.
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    Column("not_before", timestamp, nullable=False, server_default=_NOW),
    Column("added_at", timestamp, nullable=False, server_default=_NOW),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    #: Leases that ran out while its workers had it in hand, since it was last done.
    Column("deaths", SmallInteger, nullable=False, server_default=text("0")),
    #: Token of the lease that ran out last: its holder takes the death back if it lives after all.
    Column("lost_lease", Text),
    Column("force", Boolean, nullable=False, server_default=text("false")),
    Column("force_md5", Boolean, nullable=False, server_default=text("false")),
    Column("no_defer", Boolean, nullable=False, server_default=text("false")),
    #: Row that the work is about: the diskfile of a preview, the header of an association, an upload.
    Column("subject_id", BigInteger),
    Column("payload", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("lease_owner", Text),
    #: Fencing token: a late worker's commit names a token that is no longer here, and is refused.
    Column("lease_token", Text),
    Column("lease_expires", timestamp),
    #: Run that worked on it last.
    Column("run_id", Text, nullable=False, server_default=_EMPTY),
    Column("reason", Text),
    Column("error", Text),
    Column("traceback", Text),
    Column("failed_at", timestamp),
    CheckConstraint("state in ('waiting', 'running', 'failed')", name="work_item_state"),
    CheckConstraint("(state = 'running') = (lease_token is not null)", name="work_item_lease"),
    Index(
        "uq_work_item_waiting",
        "stage",
        "path",
        "filename",
        "destination",
        unique=True,
        postgresql_where=text("state = 'waiting'"),
    ),
    Index(
        "uq_work_item_running",
        "stage",
        "path",
        "filename",
        "destination",
        unique=True,
        postgresql_where=text("state = 'running'"),
    ),
    Index("ix_work_item_due", "stage", "state", "priority", "sort_key"),
    Index("ix_work_item_added", "stage", "state", "added_at"),
    Index("ix_work_item_failed", "stage", "failed_at", postgresql_where=text("state = 'failed'")),
    Index("ix_work_item_night", "night", "stage", "state"),
    Index("ix_work_item_file", "filename"),
    Index("ix_work_item_lease", "lease_expires", postgresql_where=text("state = 'running'")),
)

#: One row per state change that a person may ask about: the history of a file.
event = Table(
    "event",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("at", timestamp, nullable=False, server_default=_NOW),
    Column("stage", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("path", Text, nullable=False, server_default=_EMPTY),
    Column("filename", Text, nullable=False),
    Column("night", Text, nullable=False),
    Column("run_id", Text, nullable=False, server_default=_EMPTY),
    Column("size", BigInteger),
    Column("seconds", Double),
    Column("detail", Text, nullable=False, server_default=_EMPTY),
    Index("ix_event_at", "at"),
    Index("ix_event_file", "filename", "at"),
)

#: One row per upload received over HTTP.
upload = Table(
    "upload",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("filename", Text, nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("staged_name", Text, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("md5", Text, nullable=False),
    Column("batch", Text),
    Column("remote_address", Text),
    Column("started_at", timestamp, nullable=False),
    Column("received_at", timestamp, nullable=False, server_default=_NOW),
    Column("stored_at", timestamp),
    Index("ix_upload_label", label_in("filename"), postgresql_where=text("path = ''")),
)

#: One row per header edit that was asked for; those of a file are applied in the order of their ids.
header_edit = Table(
    "header_edit",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("path", Text, nullable=False),
    Column("filename", Text, nullable=False),
    #: What was asked for: the ``values`` of the request, and ``reject_new``.
    Column("request", JSONB, nullable=False),
    #: Keywords and values that it stands for, in order.
    Column("cards", JSONB, nullable=False),
    Column("asked_at", timestamp, nullable=False, server_default=_NOW),
    Column("asked_by", Text, nullable=False, server_default=_EMPTY),
    #: Null while it waits.
    Column("applied_at", timestamp),
    #: Why it could not be applied; null if it was.
    Column("error", Text),
    Index("ix_header_edit_waiting", "filename", "path", "id", postgresql_where=text("applied_at is null")),
)

#: What people are told about: one row per condition, so that nobody is told the same thing at every look.
alert = Table(
    "alert",
    metadata,
    #: What it is about, e.g. ``disk:/data``.
    Column("subject", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    #: Number of files or the like, now and when it was told last.
    Column("size", BigInteger, nullable=False, server_default=text("1")),
    Column("notified_size", BigInteger),
    Column("first_at", timestamp, nullable=False, server_default=_NOW),
    Column("last_at", timestamp, nullable=False, server_default=_NOW),
    #: Looks at which the condition held.
    Column("seen", BigInteger, nullable=False, server_default=text("1")),
    #: When it was told last; null if never.
    Column("notified_at", timestamp),
    #: When the condition was over; null while it lasts.
    Column("over_at", timestamp),
)

#: One row per scrub of the store: its figures.
scrub = Table(
    "scrub",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("began_at", timestamp, nullable=False),
    Column("ended_at", timestamp, nullable=False, server_default=_NOW),
    Column("who", Text, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("bad", Integer, nullable=False),
    Column("restored", Integer, nullable=False),
    Column("unread", Integer, nullable=False),
    #: Whether it reached the end of what it was to look at.
    Column("complete", Boolean, nullable=False),
)

#: One row per stored file that was found bad or missing: what became of it.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("at", timestamp, nullable=False, server_default=_NOW),
    Column("path", Text, nullable=False),
    Column("filename", Text, nullable=False),
    #: ``altered`` or ``missing``.
    Column("fault", Text, nullable=False),
    Column("expected_md5", Text, nullable=False),
    Column("found_md5", Text),
    #: Key under which the bad bytes are kept.
    Column("kept_as", Text),
    #: Where the good copy came from; null while there is none.
    Column("restored_from", Text),
    Column("detail", Text, nullable=False, server_default=_EMPTY),
    Index("ix_quarantine_file", "filename", "path"),
)

#: Where a long round through the database goes on next time.
bookmark = Table(
    "bookmark",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("set_at", timestamp, nullable=False, server_default=_NOW),
)

#: What the copy job knows of the DHS directory: the version of each file that has landed.
dhs_file = Table(
    "dhs_file",
    metadata,
    Column("name", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("md5", Text, nullable=False),
    Column("landed_at", timestamp, nullable=False, server_default=_NOW),
    Index("ix_dhs_file_label", label_in("name")),
)

#: Health of a destination: after a failure it is left alone until ``retry_at``, as a whole.
destination = Table(
    "destination",
    metadata,
    Column("url", Text, primary_key=True),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("retry_at", timestamp),
    Column("error", Text),
)

#: Stages that take no work for now; their queues keep what comes.
pause = Table(
    "pause",
    metadata,
    Column("stage", Text, primary_key=True),
    Column("since", timestamp, nullable=False, server_default=_NOW),
    Column("paused_by", Text, nullable=False, server_default=_EMPTY),
)

#: What people did by hand: retries, cancellations, pauses.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("at", timestamp, nullable=False, server_default=_NOW, index=True),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=_EMPTY),
)
