"""From match keys to ranked associations: one statement for any number of targets and types.

Per need two walks along the index of offers, back and forth in time from the target, each ended as soon as
it has enough; candidates at the same distance as the last one are taken along (``with ties``), so that the
other keys of the order decide among them. A score of time and wavelength has no such end: its walks go
through the whole window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

__all__ = ["INGEST_BARRIER", "associate_headers", "ranked_statement", "replace_statement"]

#: Advisory lock: ingest holds it shared until its commit, association waits until nobody does.
INGEST_BARRIER: Final = 7268732

_FITS: Final = """
o.query = n.query and o.key = n.key and (n.low is null or o.ut > n.low) and (n.high is null or o.ut < n.high)
and (n.any_engineering or o.engineering is false) and (n.condition is null or o.attributes @@ n.path)
"""

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

_ORDER: Final = """
case when n.score_days is null then abs(w.secs - n.secs)::float8
     else abs((w.secs - n.secs)::float8 / (n.score_days * 86400))
        + abs(((w.attributes ->> 'central_wavelength')::numeric - n.wavelength::numeric)::float8
              / n.score_range) end,
case when n.score_days is null then w.processing end desc,
coalesce(w.attributes ->> 'observation_id' = n.observation_id, false) desc,
w.entrytime desc, w.header_id desc
"""

_RANKED: Final = f"""
found as materialized (
    select n.header_id, n.caltype, n.part, n.howmany, n.cut, best.cal_hid, best.place,
           case when n.score_days is null then best.distance end as distance
    from need n cross join lateral (
        select w.header_id as cal_hid, abs(w.secs - n.secs) as distance,
               row_number() over (order by {_ORDER}) as place
        from (({_BACK}) union all ({_FORTH})) w
        order by place limit n.howmany) best),
once as (
    select distinct on (header_id, caltype, cal_hid) header_id, caltype, cal_hid, cut, place, part
    from found order by header_id, caltype, cal_hid, place, part),
ranked as (
    select header_id, caltype, cal_hid, cut,
           row_number() over (partition by header_id, caltype order by place, part) - 1 as rank
    from once)
"""

_NEED_COLUMNS: Final = """
n.*, n.condition::jsonpath as path, case when n.score_days is null then n.howmany else 1000000 end as walk
"""

_STORED_NEEDS: Final = f"""
select {_NEED_COLUMNS} from calibration_need n
where n.header_id = any(:ids)
"""

_GIVEN_NEEDS: Final = f"""
select {_NEED_COLUMNS} from jsonb_populate_recordset(null::calibration_need, cast(:needs as jsonb)) n
"""


def ranked_statement(*, stored: bool) -> str:
    """Return the statement that answers needs: header, type, calibration and rank, from 0.

    Parameters
    ----------
    stored
        Answer the stored needs of the headers ``:ids``; else those given as JSON rows in ``:needs``.
    """
    needs = _STORED_NEEDS if stored else _GIVEN_NEEDS
    return f"""
with need as materialized ({needs}), {_RANKED}
select header_id, caltype, cal_hid, rank from ranked where cut is null or rank < cut
order by header_id, caltype, rank
"""


_REPLACE = f"""
with need as materialized ({_STORED_NEEDS}), {_RANKED},
kept as (
    insert into calcache (obs_hid, cal_hid, caltype, rank)
    select header_id, cal_hid, caltype, rank from ranked where cut is null or rank < cut
    returning obs_hid),
reached as (
    select n.header_id, n.caltype, n.part,
           case when count(f.cal_hid) >= n.howmany then max(f.distance) end as farthest
    from need n left join found f
      on f.header_id = n.header_id and f.caltype = n.caltype and f.part = n.part
    group by n.header_id, n.caltype, n.part, n.howmany),
noted as (
    update calibration_need u set farthest = r.farthest from reached r
    where u.header_id = r.header_id and u.caltype = r.caltype and u.part = r.part
      and u.farthest is distinct from r.farthest)
select obs_hid, count(*) from kept group by obs_hid
"""


def replace_statement() -> str:
    """Return the statement that writes the answers of the headers ``:ids`` to the cache."""
    return _REPLACE


_BARRIER = text("select pg_advisory_lock(:key), pg_advisory_unlock(:key)")
_CURRENT = text("""
select h.id from header h join diskfile d on d.id = h.diskfile_id where h.id = any(:ids) and d.canonical
""")
_CLEAR = text("delete from calcache where obs_hid = any(:ids)")


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
        Targets, indexed by `fits_dagster.calibration.freshness.follow_ups`.

    Returns
    -------
    mapping
        Number of associated calibrations of each header.
    """
    ids = sorted(set(header_ids))
    if not ids:
        return {}
    connection.execute(_BARRIER, {"key": INGEST_BARRIER})
    connection.execute(_CLEAR, {"ids": ids})
    current = list(connection.scalars(_CURRENT, {"ids": ids}))
    rows = connection.execute(text(_REPLACE), {"ids": current})
    found = {int(header_id): int(number) for header_id, number in rows}
    return {header_id: found.get(header_id, 0) for header_id in ids}
