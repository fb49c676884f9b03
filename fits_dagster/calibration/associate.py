"""The cache of associations, computed for many headers at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.meeting import NO_TAG, fits, offer_slot, remoteness

__all__ = ["INGEST_BARRIER", "associate_headers", "ranked_statement", "replace_statement"]

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
        Targets, indexed by `fits_dagster.calibration.concerned.follow_ups`.

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
