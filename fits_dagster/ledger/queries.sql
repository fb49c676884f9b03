-- in_scope --
-- Condition of the items of some nights (null: of all), live or background ones (null: both).
(cast(:nights as text[]) is null or night = any(cast(:nights as text[])))
      and (cast(:background as boolean) is null or (priority < 0) = cast(:background as boolean))

-- announce --
-- Tell those who listen, when this transaction commits, that some stages have work.
select pg_notify(:channel, stage) from unnest(cast(:stages as text[])) as stage

-- add_work --
-- Add work; what already waits is merged: flags are OR-ed, the earlier time and higher priority win.
insert into work_item as w (stage, path, filename, destination, night, sort_key, priority, not_before,
                            force, force_md5, no_defer, subject_id, payload)
select stage, path, filename, destination, night, sort_key, priority, now() + make_interval(secs => delay),
       force, force_md5, no_defer, subject_id, payload
from jsonb_to_recordset(cast(:rows as jsonb)) as new(
    number int, stage text, path text, filename text, destination text, night text, sort_key text,
    priority int, delay float8, force bool, force_md5 bool, no_defer bool, subject_id bigint, payload jsonb)
order by number
on conflict (stage, path, filename, destination) where state = 'waiting' do update set
    force = w.force or excluded.force,
    force_md5 = w.force_md5 or excluded.force_md5,
    no_defer = w.no_defer or excluded.no_defer,
    priority = greatest(w.priority, excluded.priority),
    not_before = least(w.not_before, excluded.not_before),
    subject_id = coalesce(excluded.subject_id, w.subject_id),
    payload = w.payload || excluded.payload

-- claim --
-- Work that is due, in a given order; never what somebody else holds. An item that may have killed its workers
-- is claimed alone, when its turn comes. Whether somebody holds an item is looked up by its key, one by one: as a
-- join it would be read through what the workers have held before, over and over (so "offset 0").
with due as materialized (
    select w.id, w.deaths, w.priority, w.sort_key, w.added_at from work_item w
    where w.stage = :stage and w.state = 'waiting' and w.not_before <= now()
      and not exists (select 1 from pause where pause.stage = :stage)
      and {in_scope}
      and not exists (select 1 from work_item r
                      where r.state = 'running' and r.stage = w.stage and r.path = w.path
                        and r.filename = w.filename and r.destination = w.destination offset 0)
    order by {order} limit :limit for update skip locked),
  first as (select w.id, w.deaths >= :alone as alone from due w order by {order} limit 1),
  picked as (select w.id from due w, first
             where case when first.alone then w.id = first.id else w.deaths < :alone end)
update work_item w
set state = 'running', attempts = attempts + 1, lease_owner = :owner, lease_token = :token,
    lease_expires = now() + make_interval(secs => :seconds), run_id = :run_id
from picked where w.id = picked.id
returning w.id, w.stage, w.path, w.filename, w.destination, w.night, w.priority, w.attempts, w.deaths,
          w.added_at, w.force, w.force_md5, w.no_defer, w.subject_id, w.payload, w.sort_key

-- add_events --
-- Lines of the history of files.
insert into event (stage, outcome, path, filename, night, run_id, size, seconds, detail)
select :stage, outcome, path, filename, night, :run_id, size, seconds, detail
from unnest(cast(:outcomes as text[]), cast(:paths as text[]), cast(:filenames as text[]),
            cast(:nights as text[]), cast(:sizes as bigint[]), cast(:seconds as float8[]),
            cast(:details as text[])) as e(outcome, path, filename, night, size, seconds, detail)

-- complete --
-- End items with success, and remove failed ones of the same file and stage.
with done as (delete from work_item where {held} returning id, stage, path, filename, destination),
     cleared as (delete from work_item f using done d
                 where f.state = 'failed' and f.stage = d.stage and f.path = d.path
                   and f.filename = d.filename and f.destination = d.destination)
select id from done

-- held --
-- Condition of the items that a lease still holds.
id = any(:ids) and lease_token = :token and state = 'running'

-- put_back --
-- Items that go back to waiting. Each gives way to one of the same key that was added meanwhile.
with mine as (select * from work_item where {which}),
     merged as (update work_item w set force = w.force or m.force, force_md5 = w.force_md5 or m.force_md5,
                    deaths = greatest(w.deaths, {deaths})
                from mine m where w.state = 'waiting' and w.stage = m.stage and w.path = m.path
                  and w.filename = m.filename and w.destination = m.destination
                returning m.id),
     gone as (delete from work_item where id in (select id from merged))
update work_item w
set state = 'waiting', lease_owner = null, lease_token = null, lease_expires = null, deaths = {deaths},
    {changes}
from mine m where w.id = m.id and m.id not in (select id from merged)
returning w.id

-- defer --
-- What is set of an item that is not ready yet: this is no attempt.
attempts = w.attempts - 1, not_before = now() + make_interval(secs => :delay),
    payload = w.payload || cast(:payload as jsonb), reason = :reason, error = :error

-- postpone --
-- What is set of an item after a transient error.
not_before = now() + make_interval(secs => :delay), reason = :reason, error = :error, traceback = :traceback

-- fail --
-- Mark an item as failed; it is kept, with its reason, until somebody deals with it.
with done as (update work_item set state = 'failed', failed_at = now(), reason = :reason, error = :error,
                     traceback = :traceback, lease_owner = null, lease_token = null, lease_expires = null
              where {held} returning id, stage, path, filename, destination),
     older as (delete from work_item f using done d
               where f.state = 'failed' and f.id <> d.id and f.stage = d.stage and f.path = d.path
                 and f.filename = d.filename and f.destination = d.destination)
select id from done

-- renew --
-- Prolong the lease of items in hand; returns those that are still ours.
update work_item set lease_expires = now() + make_interval(secs => :seconds) where {held} returning id

-- give_up --
-- Take from dead workers what they held: items whose lease has run out wait again, or have failed.
with killed as (
    update work_item
    set state = 'failed', failed_at = now(), deaths = deaths + 1, lost_lease = lease_token,
        lease_owner = null, lease_token = null, lease_expires = null,
        reason = :killed, traceback = null,
        error = deaths + 1 || ' workers died with this file in hand, the last one (' || lease_owner
                || ') with no other'
    where id in (select id from work_item where {run_out} and deaths >= :most - 1
                 for update skip locked)
    returning *),
  older as (delete from work_item f using killed k
            where f.state = 'failed' and f.id <> k.id and f.stage = k.stage and f.path = k.path
              and f.filename = k.filename and f.destination = k.destination),
  told as (insert into event (stage, outcome, path, filename, night, run_id, detail)
           select stage, 'failed', path, filename, night, run_id, reason || ': ' || error from killed)
select id from killed

-- run_out --
-- Condition of the items whose worker is gone. What a frozen one has locked does not hold the others up.
state = 'running' and lease_expires < now()

-- disown --
-- End the leases of workers that are known to be dead.
update work_item set lease_expires = now() - interval '1 second'
where state = 'running' and lease_owner = any(:dead)

-- lose --
-- What is set of an item that was taken from a dead worker.
lost_lease = m.lease_token, not_before = now(), reason = 'worker_lost',
    error = 'the worker ' || coalesce(m.lease_owner, '?') || ' stopped in the middle of this file'

-- forgive --
-- Take a death back, because the worker that held these items lives: it was frozen, or cut off.
update work_item w
set deaths = greatest(w.deaths - 1, 0), lost_lease = null,
    state = case when w.state = 'failed' then 'waiting' else w.state end,
    failed_at = null, not_before = case when w.state = 'failed' then now() else w.not_before end
where w.id = any(:ids) and w.lost_lease = :token
  and (w.state <> 'failed' or (w.reason = :killed and not exists (
      select 1 from work_item o where o.state = 'waiting' and o.stage = w.stage and o.path = w.path
        and o.filename = w.filename and o.destination = w.destination)))
returning w.id

-- retry --
-- Put failed items back into their queues; each gives way to one of the same key that waits.
with mine as (select * from work_item where state = 'failed' and {condition} for update),
     waiting as (select m.id from mine m join work_item w on w.state = 'waiting' and w.stage = m.stage
                 and w.path = m.path and w.filename = m.filename and w.destination = m.destination),
     gone as (delete from work_item where id in (select id from waiting))
update work_item w
set state = 'waiting', attempts = 0, deaths = 0, lost_lease = null, not_before = now(), failed_at = null,
    priority = greatest(w.priority, 1), payload = w.payload || '{"retried": true}'::jsonb
from mine m where w.id = m.id and m.id not in (select id from waiting)
returning w.id, w.night

-- find_items --
-- Work items, those in hand first, then those that wait, then the failed ones.
select id, stage, path, filename, destination, night, state, priority, added_at, not_before, attempts, reason,
       error, failed_at, run_id, traceback
from work_item where {condition}
order by array_position(array['running', 'waiting', 'failed'], state), priority desc, sort_key desc limit :limit

-- failed_ids --
-- Failed items that meet a condition.
select id from work_item where state = 'failed' and {condition}

-- retry_now --
-- Let items that wait for another attempt go at once.
update work_item set not_before = now() where state = 'waiting' and not_before > now() and {condition}
returning id

-- cancel --
-- Remove items that wait or have failed.
delete from work_item where state <> 'running' and {condition} returning stage, filename

-- prune --
-- Delete a batch of the rows of a table that are older than some time.
delete from {table} where ctid in (select ctid from {table}
    where {column} < now() - make_interval(secs => :seconds) limit :batch)

-- prune_uploads --
-- Delete old uploads that are stored, found by their order, which is that of time.
delete from upload where received_at < now() - make_interval(secs => :seconds)
    and id in (select id from upload where stored_at is not null order by id limit :batch)

-- tables_changed --
-- Tables of which more than a fiftieth has changed since they were last analysed, with their schema.
select quote_ident(schemaname) || '.' || quote_ident(relname) from pg_stat_user_tables
where n_mod_since_analyze > 0.02 * n_live_tup
   or n_mod_since_analyze > 0 and last_analyze is null and last_autoanalyze is null
order by 1

-- write_refusal --
-- Note that somebody was refused, up to 60 times a minute: the audit must not be filled at will.
insert into audit (who, action, detail)
select :who, :action, :detail from audit
where who = :who and action = :action and at > now() - interval '1 minute'
having count(*) < :most

-- find_audit --
-- What people did by hand, the newest first; uploads that were taken only when something is looked for.
select at, who, action, detail from audit
where (action <> 'upload' or cast(:who as text) is not null or cast(:about as text) is not null)
  and (cast(:who as text) is null or strpos(lower(who), lower(:who)) > 0)
  and (cast(:about as text) is null or strpos(lower(action || ' ' || detail), lower(:about)) > 0)
  and (cast(:since as timestamptz) is null or at >= :since)
order by at desc, id desc limit :limit

-- pause_stage --
-- Let a stage take no further work; files in hand are finished, and the queue keeps what comes.
insert into pause (stage, paused_by) values (:stage, :who) on conflict do nothing

-- resume_stage --
-- Let a stage go on.
delete from pause where stage = :stage returning stage

-- pauses --
-- The stages that are paused, and who paused them.
select stage, paused_by, since from pause

-- write_audit --
-- Note what somebody did.
insert into audit (who, action, detail) values (:who, :action, :detail)

-- queue_depths --
-- How many items each stage has, by state.
select stage, count(*) filter (where state = 'waiting') as waiting,
       count(*) filter (where state = 'running') as running,
       count(*) filter (where state = 'failed') as failed
from work_item group by stage

-- left_and_failed --
-- Items of some stages that wait or are in hand, and those that have failed since a time.
select count(*) filter (where state <> 'failed'), count(*) filter (where failed_at >= :since)
from work_item where stage = any(:stages)

-- backlogs --
-- Stages with much to do, what they did of late, and which nights they are at.
select b.stage, b.left_over, b.nights, b.oldest, (
        select count(*) from event e where e.stage = b.stage and e.outcome not in ('failed', 'retrying')
        and e.at > now() - make_interval(secs => :seconds))::float / :seconds as per_s
from (select stage, count(*) as left_over, count(distinct night) as nights, min(night) as oldest
      from work_item where state in ('waiting', 'running') group by stage having count(*) >= :least) b
order by b.left_over desc

-- due_work --
-- What is due in some stages by night, the newest first.
select stage, night, count(*),
       extract(epoch from now() - min(greatest(added_at, not_before)))::float
from work_item
where state = 'waiting' and stage = any(:stages) and not_before <= now()
  and stage not in (select stage from pause)
  and added_at <= now() - make_interval(secs => :settled) and (priority < 0) = :background
group by stage, night order by max(priority) desc, night desc, stage

-- next_due_s --
-- In how many seconds the next waiting item of a stage is due; None if there is none.
select extract(epoch from min(not_before) - now()) from work_item
where state = 'waiting' and stage = :stage and not exists (select from pause where stage = :stage)
  and {in_scope}

-- has_work_in_hand --
-- Tell whether anything of these nights is being worked on, or is due now or within moments.
select exists (select 1 from work_item
    where {in_scope}
      and (cast(:stages as text[]) is null or stage = any(cast(:stages as text[])))
      and (state = 'running'
           or (state = 'waiting' and not_before <= now() + make_interval(secs => :soon)
               and stage not in (select stage from pause))))

-- queue_counts --
-- What is due, in hand, put off and failed in some stages: one pass over the table.
select stage,
       count(*) filter (where state = 'waiting' and not_before <= now()) as due,
       count(*) filter (where state = 'running') as running,
       count(*) filter (where state = 'waiting' and not_before > now() and attempts > 0) as retrying,
       count(*) filter (where state = 'waiting' and not_before > now() and attempts <= 0) as deferred,
       count(*) filter (where state = 'failed') as failed,
       min(added_at) filter (where state <> 'failed') as oldest
from work_item where stage = any(:stages) group by stage

-- shown --
-- The columns that a queue page shows.
id, filename, path, state, added_at, not_before, failed_at, attempts, reason, error, run_id

-- queue_waiting --
-- Items of a stage in hand and waiting, in a given order. Each half is the beginning of an index; one order over
-- both would sort the whole queue.
(select {shown} from work_item where stage = :stage and state = 'running'
 order by added_at, id limit :shown)
union all
(select {shown} from work_item where stage = :stage and state = 'waiting'
 order by {order} limit :shown)
limit :shown

-- queue_failed --
-- The failed items of a stage that a queue page shows, the newest first.
select {shown}
from work_item where stage = :stage and state = 'failed'
order by failed_at desc, id desc limit :shown

-- queue_reasons --
-- How many items of some stages have failed, by reason.
select stage, coalesce(reason, '') as reason, count(*) as number from work_item
where stage = any(:stages) and state = 'failed' group by 1, 2 order by number desc, reason

-- queue_throughput --
-- What some stages did in the last hour. Slots lie on the clock, so that a finished one never changes.
select stage, date_bin(make_interval(secs => :slot), at, 'epoch') as start,
       count(*) filter (where outcome not in ('failed', 'retrying')) as done,
       count(*) filter (where outcome = 'failed') as failed,
       count(*) filter (where outcome = 'retrying') as retrying
from event
where at >= date_bin(make_interval(secs => :slot), now() - interval '1 hour', 'epoch') and stage = any(:stages)
group by 1, 2 order by 1, 2

-- item_detail --
-- One item with its traceback and the history of its file; None when it is gone.
select {shown}, stage, night, destination, traceback from work_item where id = :id and stage = :stage

-- server_time --
-- The time by the server's clock.
select now()

-- last_files --
-- Name and time of the last file that got through a stage.
select filename, at from event where stage = :stage and outcome not in ('failed', 'retrying') order by at desc limit 1

-- add_edit --
-- Note an edit of a file that was found (and locked) in this transaction; returns its id.
insert into header_edit (path, filename, request, cards, asked_by)
values (:path, :filename, cast(:request as jsonb), cast(:cards as jsonb), :asked_by) returning id

-- waiting_edits --
-- The edits that wait, by (path, file name), first asked first, in one query.
select e.path, e.filename, e.id, e.cards, e.request
from unnest(cast(:paths as text[]), cast(:filenames as text[])) as asked(path, filename)
join header_edit e on e.filename = asked.filename and e.path = asked.path and e.applied_at is null
union all
select e.path, e.filename, e.id, e.cards, e.request from header_edit e
where e.id = any(cast(:again as bigint[])) and e.applied_at is not null
order by id

-- chained --
-- The payload of follow-up work with a hint, joined to that of an item that waits already.
select payload from work_item
where state = 'waiting' and stage = :stage and path = :path and filename = :filename
  and destination = :destination
for update

-- has_pending_content --
-- Tell whether a newer content of a file may be on its way into the store or the database.
select exists (select 1 from work_item
    where stage in ('store', 'ingest') and state in ('waiting', 'running') and path = :path
      and filename in (:name, :name || '.bz2'))

-- settle_edits --
-- Note which edits were applied, and which could not be, and why.
update header_edit set applied_at = now(), error = :error where id = :id

-- items_by_name --
-- What is on the queue of a stage for some files.
select filename, state, reason, payload, extract(epoch from not_before - now()) as due_in,
       extract(epoch from now() - failed_at) as failed_for
from work_item where stage = :stage and filename = any(:names)

-- files_being_copied --
-- Files that are about to be copied again from the DHS.
select distinct filename from work_item
where stage = 'copy' and state in ('waiting', 'running') and filename = any(:names)

-- destinations_to_leave_alone --
-- Destinations that are down, and for how many seconds they are left alone.
select url, extract(epoch from retry_at - now()) from destination where retry_at > now()

-- destination_is_up --
-- A destination answers: it is well again.
update destination set failures = 0, retry_at = null, error = null where url = :url and failures > 0

-- destination_is_down --
-- A destination does not answer: leave it alone, longer each time up to a limit.
insert into destination as d (url, failures, retry_at, error)
values (:url, 1, now() + make_interval(secs => :first), :error)
on conflict (url) do update set failures = d.failures + 1, error = excluded.error,
    retry_at = now() + make_interval(secs => least(:cap, :first * 2 ^ least(d.failures, 16)))
where d.retry_at is null or d.retry_at <= now()

-- wait_for_destination --
-- Put off all that waits for a destination that is down.
update work_item w
set not_before = greatest(w.not_before, d.retry_at), reason = 'destination_down'
from destination d where d.url = :url and w.stage = 'export' and w.state = 'waiting'
  and w.destination = d.url

-- overtaken_uploads --
-- Earlier uploads of the same file that are not stored yet.
select u.staged_name from upload u
where u.filename = :filename and u.path = :path and u.id < :id and u.stored_at is null

-- uploads_stored --
-- An upload is stored, and so are the earlier ones that it replaced.
update upload set stored_at = now() where filename = :filename and path = :path and id <= :id and stored_at is null

-- refused_names --
-- The names that are not safe and have been refused already.
select filename from work_item
where stage = 'ingest' and state = 'failed' and reason = 'unsafe_name' and path = :path
  and filename = any(:names)

-- landed_files --
-- Files of some nights that were copied from the DHS.
select name, md5 from dhs_file where substring(name from '[12][09]\d\d\d\d\d\d') = any(:labels)

-- uploaded_files --
-- Files of some nights that were uploaded, each with its last MD5.
select distinct on (filename) filename, md5 from upload
where substring(filename from '[12][09]\d\d\d\d\d\d') = any(:labels) and path = ''
order by filename, id desc

-- items_of_nights --
-- What is on the queues for files of some nights.
select filename, stage, state, reason from work_item
where filename ~ :nights and path = '' and stage = any(:stages) order by state = 'failed'

-- recent_files --
-- Files of some nights to which something has happened of late.
select distinct filename from event
where at > now() - make_interval(secs => :recent) and path = '' and filename ~ :nights

-- failed_of_stage --
-- The failed items of a stage, the newest first.
select night, path, filename, reason, error, failed_at, count(*) over () as total from work_item
where stage = :stage and state = 'failed' order by failed_at desc limit :most

-- stuck_of_stage --
-- Items that have been due or in hand for too long; what waits for a time to come is not stuck.
select night, path, filename, state, reason, count(*) over () as total,
       greatest(added_at, not_before) as since
from work_item
where stage = :stage and state in ('waiting', 'running') and priority >= 0
  and greatest(added_at, not_before) < now() - make_interval(secs => :limit)
order by since limit :most

-- last_scrub --
-- What the last scrub found.
select began_at, ended_at, files, bytes, bad, restored, unread from scrub order by id desc limit 1

-- waiting_for_room --
-- How many files wait for room on the disk.
select count(*) from work_item where stage = :stage and state = 'waiting' and reason = 'disk_full'

-- nights_with_work --
-- The nights to look at: the recent ones, and those in which something happened of late.
select distinct night from event where at > now() - make_interval(days => :days)

-- alerts_by_kind --
-- How many conditions last, by kind.
select kind, count(*) as number from alert where over_at is null group by kind

-- destination_states --
-- Which destinations answer.
select url, failures = 0 as up from destination where url = any(:urls)

-- stage_figures --
-- What happened between two times, in numbers: by the index of times, each file's begin by an index too.
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
       coalesce(array_agg(latency) filter (where latency between 0 and 604800), '{}')
           as latencies
from piece group by 1, 2

-- unknown_uploads --
-- Find staged uploads that were never acknowledged: they have no row.
select staged_name from upload where staged_name = any(:names)

-- queued_names --
-- Files of which something is on a queue.
select filename from work_item where filename = any(:names)

-- bookmark --
-- How far a periodic job has come.
select position from bookmark where name = :name

-- set_bookmark --
-- Note how far a periodic job has come.
insert into bookmark (name, position) values (:name, :position)
on conflict (name) do update set position = excluded.position, set_at = now()

-- is_queued --
-- Whether a file waits or is in hand.
select 1 from work_item where filename = any(:names) and path = :path and state <> 'failed' limit 1

-- failed_by_reason --
-- Failed items by stage and reason, with the newest names.
select stage, coalesce(reason, 'unknown') as reason, count(*) as total,
       (array_agg(filename order by failed_at desc))[1:3] as newest
from work_item where state = 'failed' group by 1, 2 order by 1, 2

-- long_queues --
-- Stages in which many files are due.
select stage, count(*) as due, min(added_at) as oldest from work_item
where state = 'waiting' and not_before <= now() and priority >= 0
group by stage having count(*) >= :most order by stage

-- destinations_down --
-- Destinations that have taken nothing for too long, and what waits for them.
select w.destination, count(*) as waiting, min(w.added_at) as oldest, max(d.error) as error
from work_item w join destination d on d.url = w.destination and d.failures > 0
where w.state in ('waiting', 'running')
group by w.destination having min(w.added_at) < now() - make_interval(secs => :seconds)

-- alert_seen --
-- A condition holds. One that comes back keeps the time of its last message, and so sends none at every turn.
insert into alert as a (subject, kind, message, size) values (:subject, :kind, :message, :size)
on conflict (subject) do update set
    kind = excluded.kind, message = excluded.message, size = excluded.size, last_at = now(),
    first_at = case when a.over_at is null then a.first_at else now() end,
    seen = case when a.over_at is null then a.seen + 1 else 1 end, over_at = null

-- alerts_over --
-- Conditions that no longer hold.
update alert set over_at = now()
where over_at is null and kind = any(:kinds) and not subject = any(:subjects)

-- alerts_to_send --
-- Conditions of which a message is due: new, lasting, much larger, or over.
select subject, kind, message, over_at is not null as over,
       notified_at is null or notified_at < first_at as new
from alert
where (over_at is null and (
         notified_at is null
         or notified_at < now() - make_interval(secs => :repeat)
         or (notified_at < now() - make_interval(secs => :quiet)
             and (notified_at < first_at or size >= 10 * notified_size))))
   or (over_at is not null and notified_at >= first_at and over_at > notified_at)
order by first_at, subject

-- alerts_sent --
-- Messages of conditions were sent.
update alert set notified_at = now(), notified_size = size where subject = any(:subjects)

-- forget_alerts --
-- Conditions that were over long ago.
delete from alert where over_at < now() - interval '7 days'

-- current_alerts --
-- The conditions that last, the oldest first.
select subject, kind, message, first_at, last_at, notified_at from alert where over_at is null order by first_at, subject

-- events_since --
-- Events behind a known one.
select id, at, stage, outcome, filename, detail from event where id > :after order by id

-- failed_items --
-- Every failed item.
select stage, filename, reason, error from work_item where state = 'failed'

-- save_landed --
-- A DHS file was copied in, new or changed.
insert into dhs_file (name, size, mtime_ns, md5, landed_at) values (:name, :size, :mtime_ns, :md5, now())
on conflict (name) do update set
    size = excluded.size, mtime_ns = excluded.mtime_ns, md5 = excluded.md5, landed_at = now()

-- landed --
-- Name, size and time of DHS files as they were copied.
select name, size, mtime_ns from dhs_file where name = any(:names)

-- add_scrub --
-- What a scrub has found.
insert into scrub (began_at, who, files, bytes, bad, restored, unread, complete)
values (:began_at, :who, :files, :bytes, :bad, :restored, :unread, :complete)

-- add_quarantine --
-- A bad file was moved aside.
insert into quarantine (path, filename, fault, expected_md5, found_md5, kept_as, restored_from, detail)
values (:path, :filename, :fault, :expected_md5, :found_md5, :kept_as, :restored_from, :detail)

-- links --
-- Destinations: whether they answer, and what waits for them.
select asked.url, coalesce(d.failures, 0) = 0 as up, d.error, d.retry_at,
       count(w.id) filter (where w.state in ('waiting', 'running')) as waiting,
       count(w.id) filter (where w.state = 'failed') as failed
from unnest(cast(:urls as text[])) as asked(url)
left join destination d on d.url = asked.url left join work_item w on w.destination = asked.url
group by asked.url, d.failures, d.error, d.retry_at order by asked.url
