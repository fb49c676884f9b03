"""The questions that a scrape asks of the databases: each reads an index or a small table."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

__all__ = [
    "ALERTS",
    "DESTINATIONS",
    "EVENTS",
    "PAUSED",
    "PIECE_S",
    "QUEUES",
    "RUNS",
    "RUNS_AT_WORK",
    "RUNS_ENDED",
]

#: Most time that one reading of the events covers.
PIECE_S: Final = 600
#: A file that is older is worked at again, and has not just come.
_NEW_DAYS: Final = 7

# the queue holds what is not done: it is short, or something is wrong and the answer is cached
QUEUES = text("""
select stage,
       count(*) filter (where state = 'waiting' and not_before <= now()) as due,
       count(*) filter (where state = 'running') as running,
       count(*) filter (where state = 'waiting' and not_before > now() and attempts > 0) as retrying,
       count(*) filter (where state = 'waiting' and not_before > now() and attempts <= 0) as deferred,
       count(*) filter (where state = 'failed') as failed,
       coalesce(extract(epoch from now() - min(added_at) filter (where state <> 'failed')), 0)::float
           as oldest
from work_item where stage = any(:stages) group by stage
""")
PAUSED = text("select stage from pause where stage = any(:stages)")
ALERTS = text("select kind, count(*) as number from alert where over_at is null group by kind")
DESTINATIONS = text("select url, failures = 0 as up from destination where url = any(:urls)")

# by the index of times, a few minutes at most; each file's begin by an index, too
EVENTS = text(f"""
with piece as materialized (
    select e.stage, e.size, e.seconds,
           case when e.outcome in ('failed', 'retrying') then e.outcome else 'done' end as outcome,
           extract(epoch from e.at - begun.at)::float as latency
    from event e
    left join lateral (
        select coalesce(
            (select to_timestamp(d.mtime_ns / 1e9) from dhs_file d where d.name = e.filename),
            (select max(u.started_at) from upload u where u.filename = e.filename and u.started_at <= e.at)
        ) as at
    ) begun on e.outcome not in ('failed', 'retrying')
    where e.at >= :begin and e.at < :end and e.stage = any(:stages)
)
select stage, outcome, count(*) as files, coalesce(sum(size), 0)::bigint as bytes,
       coalesce(sum(seconds), 0)::float as seconds,
       coalesce(array_agg(latency) filter (where latency between 0 and {_NEW_DAYS * 86400}), '{{}}')
           as latencies
from piece group by 1, 2
""")

RUNS = text("""
select lower(status) as state, count(*) as number from runs
where status in ('NOT_STARTED', 'QUEUED', 'STARTING', 'STARTED', 'CANCELING') group by 1
""")
RUNS_ENDED = text("""
select lower(status) as state, count(*) as number from runs
where status in ('SUCCESS', 'FAILURE', 'CANCELED')
  and update_timestamp > (now() at time zone 'utc') - interval '1 hour' group by 1
""")
RUNS_AT_WORK = text("""
select count(*) from pg_locks where locktype = 'advisory' and classid = :run_locks and granted
  and database = (select oid from pg_database where datname = current_database())
""")
