"""The cache of associations: computed for many headers at once, kept fresh when something arrives late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, TextClause, text

from fits_dagster.calibration.match_keys import forget_headers, load_facts, write_index
from fits_dagster.calibration.queries import (
    BANDS,
    NO_TAG,
    band_of,
    compile_ruleset,
    fits,
    need_slot,
    offer_slot,
    remoteness,
)
from fits_dagster.ledger.items import BACKGROUND, NewWork

__all__ = [
    "INGEST_BARRIER",
    "OF_THE_NEED",
    "RUNNING",
    "arrival_statement",
    "as_work",
    "associate_headers",
    "follow_ups",
    "hold_barrier",
    "nobody_is_associated",
    "owed",
    "ranked_statement",
    "replace_statement",
]

#: Advisory lock: ingest holds it shared until its commit, association waits until nobody does.
INGEST_BARRIER: Final = 7268732

_FITS: Final = f"{offer_slot('o', 'n', 'c.tag_rank')} and {fits('o', 'n')}"

_BACK: Final = f"""
select o.* from calibration_offer o
where {_FITS} and o.secs <= n.secs and o.secs >= n.low_secs
order by o.secs desc fetch first (n.walk) rows with ties
"""

_FORTH: Final = f"""
select o.* from calibration_offer o
where {_FITS} and o.secs > n.secs and o.secs <= n.high_secs
order by o.secs fetch first (n.walk) rows with ties
"""

# the tag_ranks of a query, found by hopping along an index that is mostly empty
_TAGGED: Final = """
tagged as (
    (select query, tag_rank from calibration_offer where tag_rank > 0 order by query, tag_rank limit 1)
    union all
    select further.query, further.tag_rank from tagged t cross join lateral (
        select query, tag_rank from calibration_offer o
        where o.tag_rank > 0 and (o.query, o.tag_rank) > (t.query, t.tag_rank)
        order by o.query, o.tag_rank limit 1) further)
"""

_SCORE: Final = """
(abs((w.secs - n.secs)::float8 / (n.score_days * 86400))
 + abs((w.wavelength::numeric - n.wavelength::numeric)::float8 / n.score_range))
"""

_ORDER: Final = f"""
w.tag_rank,
case when n.score_days is null then abs(w.secs - n.secs)::float8 else {_SCORE} end,
case when n.score_days is null then w.processing end desc,
coalesce(w.attributes ->> 'observation_id' = n.observation_id, false) desc,
w.entrytime desc, w.header_id desc
"""

# who is so far that time alone makes a higher score changes nothing; the second is for what is rounded
_REMOTENESS: Final = f"""
case when n.score_days is null then {remoteness("w", "n")}
     else w.tag_rank + 1 + ceil(least(coalesce({_SCORE} * n.score_days * 86400, 1e15), 1e15))::bigint end
"""

_REPEATS: Final = "cardinality(cal_hids) > (select count(distinct each) from unnest(cal_hids) each)"

# Lists of several parts take turns, a header counts where it comes first; most answers are one list as it is.
_ANSWERED: Final = f"""
{_TAGGED},
found as materialized (
    select n.header_id, n.caltype, n.part, n.cut, n.farthest as farthest_before, best.*
    from need n cross join lateral (
        select array_agg(b.header_id) as cal_hids,
               case when count(*) >= n.howmany then max(b.remoteness) end as farthest
        from (select w.header_id, {_REMOTENESS} as remoteness
              from (select {NO_TAG}::bigint as tag_rank
                    union all select t.tag_rank from tagged t where t.query = n.query) c
              cross join lateral (({_BACK}) union all ({_FORTH})) w
              order by {_ORDER} limit n.howmany) b) best),
merged as (
    select header_id, caltype,
           (array_agg(cal_hid order by place, part))[1:coalesce(min(cut), 32767)] as cal_hids
    from (select distinct on (f.header_id, f.caltype, c.cal_hid)
                 f.header_id, f.caltype, f.part, f.cut, c.cal_hid, c.place
          from found f cross join lateral unnest(f.cal_hids) with ordinality as c(cal_hid, place)
          where (f.header_id, f.caltype) in (
              select header_id, caltype from found group by header_id, caltype
              having count(*) > 1 or bool_or({_REPEATS}))
          order by f.header_id, f.caltype, c.cal_hid, c.place, f.part) once
    group by header_id, caltype),
gathered as (
    select header_id, caltype, min(cal_hids) as cal_hids from found group by header_id, caltype),
answer as materialized (
    select g.header_id, g.caltype, coalesce(m.cal_hids, g.cal_hids) as cal_hids
    from gathered g left join merged m on m.header_id = g.header_id and m.caltype = g.caltype
    where g.cal_hids is not null)
"""

_NEED_COLUMNS: Final = """
n.*, case when n.score_days is null then n.howmany else 1000000 end as walk
"""

_STORED_NEEDS: Final = f"""
select {_NEED_COLUMNS} from calibration_need n
where n.header_id = any(:ids)
"""

_GIVEN_NEEDS: Final = f"""
select {_NEED_COLUMNS} from jsonb_populate_recordset(null::calibration_need, cast(:needs as jsonb)) n
"""


def ranked_statement(*, stored: bool) -> str:
    """Return the statement that answers needs: header, type, and the calibrations, best first.

    Parameters
    ----------
    stored
        Answer the stored needs of the headers ``:ids``; else those given as JSON rows in ``:needs``.
    """
    needs = _STORED_NEEDS if stored else _GIVEN_NEEDS
    return f"""
with recursive need as materialized ({needs}), {_ANSWERED}
select header_id, caltype, cal_hids from answer order by header_id, caltype
"""


_REPLACE: Final = f"""
with recursive need as materialized ({_STORED_NEEDS}), {_ANSWERED},
known as materialized (select * from calibration_answer where header_id = any(:replaced)),
dropped as (
    delete from calibration_answer c using known k
    where c.header_id = k.header_id and c.caltype = k.caltype
      and not exists (select from answer a where a.header_id = k.header_id and a.caltype = k.caltype)),
written as (
    insert into calibration_answer (header_id, caltype, cal_hids)
    select header_id, caltype, cal_hids from answer
    except select header_id, caltype, cal_hids from known
    on conflict (header_id, caltype) do update set cal_hids = excluded.cal_hids),
reaching as (
    update calibration_need n set farthest = f.farthest from found f
    where n.header_id = f.header_id and n.caltype = f.caltype and n.part = f.part
      and f.farthest is distinct from f.farthest_before)
select header_id, sum(cardinality(cal_hids)) from answer group by header_id
"""


def replace_statement() -> str:
    """Return the statement that gives the headers ``:replaced`` the answers of those of them in ``:ids``.

    What stays the same of the cache, and of how far the needs reach, is not written.
    """
    return _REPLACE


_BEGIN = text("""
insert into association_begun (id) select 1 where not exists (select from association_begun)
on conflict do nothing
""")
_BARRIER = text("select pg_advisory_lock(:key), pg_advisory_unlock(:key)")
_CURRENT = text("""
select h.id from header h join diskfile d on d.id = h.diskfile_id where h.id = any(:ids) and d.canonical
""")


def associate_headers(connection: Connection, header_ids: Sequence[int]) -> Mapping[int, int]:
    """Replace the associations of headers, of all types at once, on the caller's transaction.

    Rows of types that are no longer applicable vanish. A header that is not canonical any more, has no
    instrument or time, or failed its quality assessment, has none.

    Before it looks, it waits for the ingest transactions that are under way: what they bring is then
    either seen here, or their follow-ups see this target and queue it again.

    Parameters
    ----------
    connection
        A connection at the isolation level READ COMMITTED.
    header_ids
        Targets, indexed by `fits_dagster.calibration.associate.follow_ups`.

    Returns
    -------
    mapping
        Number of associated calibrations of each header.
    """
    ids = sorted(set(header_ids))
    if not ids:
        return {}
    connection.execute(_BEGIN)
    connection.execute(_BARRIER, {"key": INGEST_BARRIER})
    current = list(connection.scalars(_CURRENT, {"ids": ids}))
    rows = connection.execute(text(_REPLACE), {"ids": current, "replaced": ids})
    found = {int(header_id): int(number) for header_id, number in rows}
    return {header_id: found.get(header_id, 0) for header_id in ids}


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
