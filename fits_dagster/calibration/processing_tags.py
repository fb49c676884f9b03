"""Changes of processing tags, and whose calibrations they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.associate import INGEST_BARRIER
from fits_dagster.calibration.concerned import OF_THE_NEED, RUNNING, as_work
from fits_dagster.calibration.meeting import fits, need_slot, offer_slot, remoteness, tag_rank_of
from fits_dagster.calibration.queries import compile_ruleset
from fits_dagster.ledger.items import NewWork
from fits_dagster.records.processing_tags import ProcessingTag, delete_tag, find_tag, save_tag

__all__ = [
    "affected_statement",
    "change_processing_tag",
    "remove_processing_tag",
    "set_processing_tag",
]

_WAIT = text("select pg_advisory_xact_lock(:key)")

_CONCERNED: Final = """
t.processing_tag = :tag and case when t.processing = 'Raw' then :raw_changes else :others_change end
"""
_QUERIES = text(f"""
select o.query, min(t.instrument) from header t join calibration_offer o on o.header_id = t.id
where {_CONCERNED} group by o.query
""")
_CHANGE = text(f"""
update calibration_offer o
set tag_rank = case when t.processing = 'Raw' then cast(:raw as bigint) else cast(:others as bigint) end
from header t where t.id = o.header_id and {_CONCERNED}
""")

# Needs are asked once each, however many files of the tag they meet: by the list that they have, and by
# whether a file of the tag, with its new tag_rank, is near enough to come in.
_AFFECTED: Final = f"""
with slot as materialized (
    select o.query, o.key, min(o.secs) + reach.before as first, max(o.secs) + reach.after as last
    from header t join calibration_offer o on o.header_id = t.id
    join unnest(cast(:queries as text[]), cast(:befores as bigint[]), cast(:afters as bigint[]))
      as reach(query, before, after) on reach.query = o.query
    where {_CONCERNED} group by o.query, o.key, reach.before, reach.after)
select distinct n.header_id, d.path, d.filename
from slot s join calibration_need n on {need_slot("n", "s")} and n.secs between s.first and s.last
{OF_THE_NEED}
left join calibration_answer a on a.header_id = n.header_id and a.caltype = n.caltype
where {RUNNING}
   or exists (select from unnest(a.cal_hids) c where (select {_CONCERNED} from header t where t.id = c))
   or exists (
      select from calibration_offer o
      where (select {_CONCERNED} from header t where t.id = o.header_id)
        and {offer_slot("o", "n", "cast(:raw as bigint)")} and {fits("o", "n")}
        and o.secs between greatest(n.low_secs, n.secs - (n.farthest - :raw))
                       and least(n.high_secs, n.secs + (n.farthest - :raw))
        and coalesce({remoteness("o", "n")} <= n.farthest, true))
"""


def affected_statement() -> str:
    """Return the statement that tells whom a change of a tag concerns: header, path and file name."""
    return _AFFECTED


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
    known = find_tag(connection, tag.tag)
    save_tag(connection, tag)
    return _changed(connection, tag.tag, known, tag, priority)


def change_processing_tag(
    connection: Connection, tag: str, changes: Mapping[str, Any], *, priority: int = 0
) -> tuple[ProcessingTag, list[NewWork]]:
    """Change some of what is known of a processing tag, or make it; see :func:`set_processing_tag`.

    Parameters
    ----------
    changes
        Values by field of :class:`ProcessingTag`; what is left out stays.

    Returns
    -------
    tuple
        The tag as it is now, and the work that follows.
    """
    connection.execute(_WAIT, {"key": INGEST_BARRIER})
    changed = replace(find_tag(connection, tag) or ProcessingTag(tag=tag), **changes)
    return changed, set_processing_tag(connection, changed, priority=priority)


def remove_processing_tag(connection: Connection, tag: str, *, priority: int = 0) -> list[NewWork]:
    """Forget a processing tag; see :func:`set_processing_tag`.

    Raises
    ------
    LookupError
        There is no such tag.
    """
    connection.execute(_WAIT, {"key": INGEST_BARRIER})
    known = find_tag(connection, tag)
    if known is None:
        raise LookupError(f"no processing tag {tag}")
    delete_tag(connection, tag)
    return _changed(connection, tag, known, None, priority)


def _changed(
    connection: Connection, tag: str, before: ProcessingTag | None, after: ProcessingTag | None, priority: int
) -> list[NewWork]:
    """Give the files with a tag their new tag_rank; tells whom that concerns."""
    was_raw, were_others = _tag_ranks(before)
    raw, others = _tag_ranks(after)
    values: dict[str, object] = {
        "tag": tag,
        "raw": raw,
        "others": others,
        "raw_changes": raw != was_raw,
        "others_change": others != were_others,
    }
    reaches = {
        query: known.reach(0)
        for query, instrument in connection.execute(_QUERIES, values)
        # a query that the rules no longer have concerns nobody
        if (known := compile_ruleset(instrument).queries.get(query)) is not None
    }
    connection.execute(_CHANGE, values)
    values |= {
        "queries": list(reaches),
        "befores": [first for first, _ in reaches.values()],
        "afters": [last for _, last in reaches.values()],
    }
    rows = connection.execute(text(_AFFECTED), values)
    return as_work({header: (path, filename) for header, path, filename in rows}, priority)


def _tag_ranks(tag: ProcessingTag | None) -> tuple[int, int]:
    """Return the tag_ranks of raw files with a tag and of all others."""
    priority = tag.priority if tag else None
    published = tag.published if tag else None
    raw, others = (tag_rank_of(mode, priority=priority, published=published) for mode in ("Raw", None))
    return raw, others
