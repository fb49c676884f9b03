"""Keeping the association cache true: whose answer changes when a header arrives or goes?

Exactly the targets that the new header's offers meet, and whose list of that type is not already full of
nearer candidates; and those that have the superseded version in their lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.engine import INGEST_BARRIER
from fits_dagster.calibration.facts import load_facts
from fits_dagster.calibration.handicap import NO_TAG, remoteness
from fits_dagster.calibration.index import forget_headers, write_index
from fits_dagster.calibration.queries import compile_ruleset
from fits_dagster.calibration.slots import fits, need_slot
from fits_dagster.ledger.items import NewWork

__all__ = ["OF_THE_NEED", "RUNNING", "arrival_statement", "as_work", "follow_ups", "withdraw"]

_STAGE: Final = "associate"

_SUPERSEDED = text("""
select old.id from header h join diskfile d on d.id = h.diskfile_id
join diskfile v on v.file_id = d.file_id and v.path = d.path and v.id <> d.id and not v.canonical
join header old on old.diskfile_id = v.id
where h.id = :id
""")

_HOLD = text("select pg_advisory_xact_lock_shared(:key)")
_CLEAR = text("delete from calibration_answer where header_id = any(:ids)")

# An association that runs now may have read the offers before this transaction began, and its result is
# not to be seen yet: what the cache says of such a target is no ground to leave it alone.
RUNNING: Final = f"""
exists (select 1 from work_item r where r.state = 'running' and r.stage = '{_STAGE}' and r.path = d.path
          and r.filename = d.filename and r.destination = '')
"""

#: What belongs to a need ``n``: the file of the target, ``d``, and the answer, ``a``.
OF_THE_NEED: Final = """
join header h on h.id = n.header_id join diskfile d on d.id = h.diskfile_id and d.canonical
left join calibration_answer a on a.header_id = n.header_id and a.caltype = n.caltype
"""

_MEETS = f"""
join calibration_need n on {need_slot("n", "o")} and n.secs between reach.first and reach.last
 and {fits("o", "n", "n.condition::jsonpath")}
{OF_THE_NEED}
"""

_REACH = """
calibration_offer o
join unnest(cast(:offering as bigint[]), cast(:queries as text[]), cast(:firsts as bigint[]),
            cast(:lasts as bigint[])) as reach(header_id, query, first, last)
  on reach.header_id = o.header_id and reach.query = o.query
"""


def arrival_statement() -> str:
    """Return the statement that tells whom new offers concern: header, path and file name."""
    return f"""
select distinct n.header_id, d.path, d.filename from {_REACH} {_MEETS}
where a.farthest[n.part + 1] is null or {remoteness("o", "n")} <= a.farthest[n.part + 1] or {RUNNING}
"""


_AFFECTED_BY_ARRIVAL = text(arrival_statement())

# whoever has a calibration in its list is met by one of the calibration's offers
_AFFECTED_BY_LOSS = text(f"""
select distinct n.header_id, d.path, d.filename from {_REACH} {_MEETS}
where o.header_id = any(a.cal_hids) or {RUNNING}
""")


def follow_ups(connection: Connection, header_id: int, *, priority: int = 0) -> list[NewWork]:
    """Index a header that was just ingested, and tell whose associations it changes.

    It writes the header's offers and needs, and removes the offers, needs and cached associations of the
    versions of the file that it supersedes.

    Parameters
    ----------
    connection
        The transaction of the ingest, in which the header, its instrument rows and the demotion of the
        older versions were written.
    priority
        Priority of the work that follows.

    Returns
    -------
    list of NewWork
        Associations of the *other* targets whose answer can change; the header's own is not among them.
    """
    connection.execute(_HOLD, {"key": INGEST_BARRIER})
    older = list(connection.scalars(_SUPERSEDED, {"id": header_id}))
    affected = _withdraw(connection, older) if older else {}
    if write_index(connection, load_facts(connection, [header_id])):
        affected |= _affected(connection, [header_id], arrived=True)
    affected.pop(header_id, None)
    return as_work(affected, priority)


def withdraw(connection: Connection, header_ids: Sequence[int], *, priority: int = 0) -> list[NewWork]:
    """Take headers out of service whose files lost their place without a successor.

    Returns
    -------
    list of NewWork
        Associations of the targets that have lost a calibration.
    """
    connection.execute(_HOLD, {"key": INGEST_BARRIER})
    return as_work(_withdraw(connection, list(header_ids)), priority)


def _withdraw(connection: Connection, header_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    affected = _affected(connection, header_ids, arrived=False)
    forget_headers(connection, header_ids)
    connection.execute(_CLEAR, {"ids": list(header_ids)})
    return {target: place for target, place in affected.items() if target not in header_ids}


# what is out of sight concerns nobody
_OFFERED = text(f"""
select distinct o.header_id, o.query, o.secs, h.instrument
from calibration_offer o join header h on h.id = o.header_id
where o.header_id = any(:ids) and o.handicap >= {NO_TAG}
""")


def _affected(
    connection: Connection, header_ids: Sequence[int], *, arrived: bool
) -> dict[int, tuple[str, str]]:
    """Return path and file name of the targets that the offers of headers concern, by header."""
    offered = connection.execute(_OFFERED, {"ids": list(header_ids)}).all()
    if not offered:
        return {}
    reaches = [_reach(instrument, query, secs) for _, query, secs, instrument in offered]
    places: dict[str, object] = {
        "offering": [row.header_id for row in offered],
        "queries": [row.query for row in offered],
        "firsts": [first for first, _ in reaches],
        "lasts": [last for _, last in reaches],
    }
    rows = connection.execute(_AFFECTED_BY_ARRIVAL if arrived else _AFFECTED_BY_LOSS, places)
    return {header: (path, filename) for header, path, filename in rows}


def _reach(instrument: str, query: str, secs: int) -> tuple[int, int]:
    known = compile_ruleset(instrument).queries.get(query)
    # a query that the rules no longer have concerns nobody
    return known.reach(secs) if known is not None else (1, 0)


def as_work(affected: Mapping[int, tuple[str, str]], priority: int) -> list[NewWork]:
    """Return associations of targets as work, from their paths and file names by header."""
    return [
        NewWork(stage=_STAGE, path=path, filename=filename, subject_id=header, priority=priority)
        for header, (path, filename) in sorted(affected.items())
    ]
