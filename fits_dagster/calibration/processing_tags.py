"""Changes of processing tags, and whose calibrations they change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.engine import INGEST_BARRIER
from fits_dagster.calibration.freshness import affected_targets, as_work
from fits_dagster.calibration.handicap import handicap_of
from fits_dagster.database.processing import ProcessingTag, delete_tag, find_tag, save_tag
from fits_dagster.database.work import NewWork

__all__ = ["remove_processing_tag", "set_processing_tag"]

_CHUNK: Final = 500

_WAIT = text("select pg_advisory_xact_lock(:key)")

_NEW_HANDICAP: Final = (
    "case when h.processing = 'Raw' then cast(:raw as bigint) else cast(:other as bigint) end"
)
_CHANGED = text(f"""
select h.id from header h
where h.processing_tag = :tag
  and exists (select from calibration_offer o where o.header_id = h.id and o.handicap <> {_NEW_HANDICAP})
order by h.id
""")
_CHANGE = text(f"""
update calibration_offer o set handicap = {_NEW_HANDICAP}
from header h where h.id = o.header_id and o.header_id = any(:ids)
""")


def set_processing_tag(connection: Connection, tag: ProcessingTag, *, priority: int = 0) -> list[NewWork]:
    """Write a processing tag, new or changed, and tell whose associations that changes.

    It waits for the ingest transactions that are under way, and ingest and association wait until the
    caller's transaction ends: no file with the tag comes in between.

    Parameters
    ----------
    connection
        A connection at the isolation level READ COMMITTED.
    priority
        Priority of the work that follows.

    Returns
    -------
    list of NewWork
        Associations of the targets that have a file with the tag in their lists or would now take one up, if
        the change makes a difference to the rank of its files; to be added in the same transaction.
    """
    connection.execute(_WAIT, {"key": INGEST_BARRIER})
    save_tag(connection, tag)
    return _changed(connection, tag.tag, tag, priority)


def remove_processing_tag(connection: Connection, tag: str, *, priority: int = 0) -> list[NewWork]:
    """Forget a processing tag; see :func:`set_processing_tag`.

    Raises
    ------
    LookupError
        There is no such tag.
    """
    connection.execute(_WAIT, {"key": INGEST_BARRIER})
    if find_tag(connection, tag) is None:
        raise LookupError(f"no processing tag {tag}")
    delete_tag(connection, tag)
    return _changed(connection, tag, None, priority)


def _changed(connection: Connection, tag: str, known: ProcessingTag | None, priority: int) -> list[NewWork]:
    """Give the files with a tag their new handicap; tells whom that concerns."""
    rank = known.priority if known else None
    published = known.published if known else None
    handicaps = {
        "raw": handicap_of("Raw", priority=rank, published=published),
        "other": handicap_of(None, priority=rank, published=published),
    }
    affected: dict[int, tuple[str, str]] = {}
    changed: Sequence[int] = connection.scalars(_CHANGED, {"tag": tag, **handicaps}).all()
    for start in range(0, len(changed), _CHUNK):
        ids = changed[start : start + _CHUNK]
        affected |= affected_targets(connection, ids, arrived=False)
        connection.execute(_CHANGE, {"ids": ids, **handicaps})
        affected |= affected_targets(connection, ids, arrived=True)
    return as_work(affected, priority)
