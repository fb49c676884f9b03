"""Whom a calibration concerns: what keeps the cache of associations fresh when something arrives late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, TextClause, text

from fits_dagster.calibration.associate import INGEST_BARRIER
from fits_dagster.calibration.match_keys import forget_headers, load_facts, write_index
from fits_dagster.calibration.meeting import BANDS, NO_TAG, band_of, fits, need_slot, remoteness
from fits_dagster.calibration.queries import compile_ruleset
from fits_dagster.ledger.items import BACKGROUND, NewWork

__all__ = [
    "OF_THE_NEED",
    "RUNNING",
    "arrival_statement",
    "as_work",
    "follow_ups",
    "hold_barrier",
    "nobody_is_associated",
    "owed",
]

_STAGE: Final = "associate"

_SUPERSEDED = text("""
select old.id from header h join diskfile d on d.id = h.diskfile_id
join diskfile v on v.file_id = d.file_id and v.path = d.path and v.id <> d.id and not v.canonical
join header old on old.diskfile_id = v.id
where h.id = any(:ids)
""")

_HOLD = text("select pg_advisory_xact_lock_shared(:key)")
_CLEAR = text("delete from calibration_answer where header_id = any(:ids)")

# An association that runs now may have read the offers before this transaction began, and its result is
# not to be seen yet: what the cache says of such a target is no ground to leave it alone.
_RUNS: Final = f"""
r.state = 'running' and r.stage = '{_STAGE}' and r.path = d.path and r.filename = d.filename
and r.destination = ''
"""
RUNNING: Final = f"exists (select 1 from work_item r where {_RUNS})"

#: What belongs to a need ``n``: the file of the target, ``d``.
OF_THE_NEED: Final = """
join header h on h.id = n.header_id join diskfile d on d.id = h.diskfile_id and d.canonical
"""

# The needs of a slot lie by bands of how far they reach: of the many with a full list only those are looked
# at to which the offer is near, and all that have none. `offset 0` keeps the walk of each band a walk.
_MET: Final = f"""
with at_work as materialized (
    select n.* from work_item r join diskfile d on {_RUNS} and d.canonical
    join header h on h.diskfile_id = d.id join calibration_need n on n.header_id = h.id),
reach as (
    select o.*, given.first, given.last
    from unnest(cast(:offering as bigint[]), cast(:queries as text[]), cast(:firsts as bigint[]),
                cast(:lasts as bigint[])) as given(header_id, query, first, last)
    join calibration_offer o on o.header_id = given.header_id and o.query = given.query),
met as (
    select n.header_id, n.caltype, o.header_id as offering, false as running
    from reach o cross join {BANDS} cross join lateral (
        select n.* from calibration_need n
        where {need_slot("n", "o")} and {band_of("n.farthest")} = band.number
          and n.secs between greatest(o.first, o.secs - (band.width - o.tag_rank))
                         and least(o.last, o.secs + (band.width - o.tag_rank))
        offset 0) n
    where (n.farthest is null or {remoteness("o", "n")} <= n.farthest)
      and {fits("o", "n")}
    union all
    select n.header_id, n.caltype, o.header_id, true
    from reach o join at_work n on {need_slot("n", "o")} and n.secs between o.first and o.last
     and {fits("o", "n")})
select distinct n.header_id, d.path, d.filename from met n
{OF_THE_NEED}
"""

_HAS: Final = """
n.offering = any((select a.cal_hids from calibration_answer a
                  where a.header_id = n.header_id and a.caltype = n.caltype)::bigint[])
"""


def arrival_statement() -> str:
    """Return the statement that tells whom new offers concern: header, path and file name."""
    return _MET


_AFFECTED_BY_ARRIVAL = text(arrival_statement())

# Later, when the calibration has an answer of its own: who has it already was associated after it came, and
# who still waits will find it.
_AFFECTED_SINCE = text(f"""
{_MET}
where (n.running or not coalesce({_HAS}, false))
  and not exists (select 1 from work_item w where w.state = 'waiting' and w.stage = '{_STAGE}'
                  and w.path = d.path and w.filename = d.filename and w.destination = '')
""")

# whoever has a calibration in its list is met by one of the calibration's offers
_AFFECTED_BY_LOSS = text(f"""
{_MET}
where n.running or {_HAS}
""")


def hold_barrier(connection: Connection) -> None:
    """Let associations wait until this transaction, which writes offers and needs, has ended."""
    connection.execute(_HOLD, {"key": INGEST_BARRIER})


def follow_ups(
    connection: Connection, header_ids: Sequence[int], *, priority: int = 0, others_later: bool = False
) -> list[NewWork]:
    """Index headers that were just ingested, and tell whose associations they change.

    It writes their offers and needs, and removes the offers, needs and cached associations of the versions
    of their files that they supersede.

    Parameters
    ----------
    connection
        The transaction of the ingest, in which the headers, their instrument rows and the demotion of the
        older versions were written.
    priority
        Priority of the work that follows.
    others_later
        Do not look for whom they concern: :func:`owed` will, when they are associated themselves.

    Returns
    -------
    list of NewWork
        Associations of the *other* targets whose answer can change; those of the headers themselves are
        not among them.
    """
    hold_barrier(connection)
    older = list(connection.scalars(_SUPERSEDED, {"ids": list(header_ids)}))
    affected = _withdraw(connection, older) if older else {}
    if write_index(connection, load_facts(connection, header_ids)) and not others_later:
        affected |= _affected(connection, header_ids, _AFFECTED_BY_ARRIVAL)
    return as_work({h: place for h, place in affected.items() if h not in header_ids}, priority)


_NOBODY = text(f"""
select not exists (select from association_begun)
   and not exists (select from work_item where stage = '{_STAGE}' and state = 'running')
""")


def nobody_is_associated(connection: Connection) -> bool:
    """Tell, in an ingest after :func:`follow_ups`, whether all targets have yet to find what comes now."""
    return bool(connection.scalar(_NOBODY))


def owed(connection: Connection, header_ids: Sequence[int]) -> list[NewWork]:
    """Return associations of targets that headers concern which were ingested with ``others_later``.

    Asked when they have just been associated themselves: earlier, among many files that have no answer yet,
    each would concern all of its reach, again and again.
    """
    affected = _affected(connection, header_ids, _AFFECTED_SINCE)
    return as_work({h: place for h, place in affected.items() if h not in header_ids}, BACKGROUND)


def _withdraw(connection: Connection, header_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    affected = _affected(connection, header_ids, _AFFECTED_BY_LOSS)
    forget_headers(connection, header_ids)
    connection.execute(_CLEAR, {"ids": list(header_ids)})
    return {target: place for target, place in affected.items() if target not in header_ids}


# what is out of sight concerns nobody
_OFFERED = text(f"""
select distinct o.header_id, o.query, o.secs, h.instrument
from calibration_offer o join header h on h.id = o.header_id
where o.header_id = any(:ids) and o.tag_rank >= {NO_TAG}
""")


def _affected(
    connection: Connection, header_ids: Sequence[int], statement: TextClause
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
    rows = connection.execute(statement, places)
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
