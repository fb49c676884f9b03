-- present_versions --
-- The present versions of files, by (trimmed name, path), in one query.
select d.id as diskfile_id, f.name, d.path, d.filename, d.lastmod, d.file_md5, d.data_md5,
       d.file_size, d.data_size, d.compressed
from unnest(cast(:names as text[]), cast(:paths as text[])) as asked(name, path)
join file f on f.name = asked.name
join diskfile d on d.file_id = f.id and d.path = asked.path and d.present

-- known_files --
-- Time and size of every present file directly under a path, by file name, in one query.
select filename, lastmod, file_size from diskfile where present and path = :path

-- known_files_named --
-- The same of the files of some trimmed names.
select d.filename, d.lastmod, d.file_size from unnest(cast(:names as text[])) as asked(name)
join file f on f.name = asked.name join diskfile d on d.file_id = f.id and d.path = :path and d.present

-- supersede --
-- Demote the versions of files at their paths before new ones come.
update diskfile d set present = false, canonical = false
from unnest(cast(:file_ids as bigint[]), cast(:paths as text[])) as place(file_id, path)
where d.file_id = place.file_id and d.path = place.path and (d.present or d.canonical)

-- add_files --
-- The rows of trimmed names, made where they are new; in one order, so that nobody waits in a circle.
insert into file (name) select name from unnest(cast(:names as text[])) as name order by name
on conflict (name) do nothing

-- lock_files --
-- The rows of trimmed names, locked, so that their versions take turns.
select name, id from file where name = any(:names) order by name for update

-- new_ids --
-- Keys for new rows of a table.
select nextval(pg_get_serial_sequence(:table, 'id')) from generate_series(1, :number)

-- refresh_lastmod --
-- Note a new file time of an unchanged content, so that the next look is cheap again.
update diskfile set lastmod = :lastmod where id = :id

-- file_events --
-- What happened to a file of a trimmed name, the newest first.
select at, stage, outcome, detail, path, filename, size, seconds, run_id from event
where filename = any(:names) order by at desc, id desc limit :limit

-- dhs_copies --
-- What was copied of a file from the DHS.
select size, to_timestamp(mtime_ns / 1e9) as mtime, md5, landed_at from dhs_file where name = any(:names)

-- uploads_of --
-- What was uploaded of a file.
select path, filename, size, md5, remote_address, received_at, stored_at from upload
where filename = any(:names) order by received_at desc limit 50

-- versions_of --
-- The versions of a file.
select d.path, d.filename, d.present, d.canonical, d.file_md5, d.data_md5, d.file_size, d.lastmod, d.entrytime
from file f join diskfile d on d.file_id = f.id
where f.name = :name order by d.present desc, d.entrytime desc, d.id desc limit 100

-- items_of --
-- What is on the queues for a file.
select id, stage, state, path, filename, destination, added_at, not_before, failed_at, attempts, reason,
       error, run_id
from work_item where filename = any(:names)
order by array_position(array['failed', 'waiting', 'running'], state), attempts desc, added_at, id limit 100

-- edits_of --
-- The header edits of a file.
select id, path, filename, cards, asked_at, asked_by, applied_at, error from header_edit
where filename = any(:names) order by id desc limit 100

-- names_like --
-- Trimmed names in a table that hold a part, whatever its case.
select distinct case when {column} like '%.bz2' then left({column}, -4) else {column} end as name
from {table} where strpos(lower({column}), :part) > 0 limit :limit

-- time_limit --
-- The longest time of each statement of this transaction; 0 for none.
set local statement_timeout = {milliseconds}

-- count_associations --
-- How many calibration associations there are, and of how many headers.
select count(*) as associations, count(distinct obs_hid) as headers from calcache

-- settled_until --
-- The time before which no row will come any more; ends the transaction.
-- Of other databases of the server the transactions do not matter; our own reads only.
select least(clock_timestamp() - make_interval(secs => :margin), min(xact_start)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
  and (backend_xid is not null or xact_start > clock_timestamp() - make_interval(secs => :idle))

-- find_tag --
-- What is known of a tag.
select tag, domain, priority, published, description from processingtag where tag = :tag

-- save_tag --
-- Write a tag, new or changed; whose calibrations that changes is for the caller to tell.
insert into processingtag (tag, domain, priority, published, description) values (:tag, :domain, :priority, :published, :description)
on conflict (tag) do update set domain = excluded.domain, priority = excluded.priority,
    published = excluded.published, description = excluded.description

-- list_tags --
-- All tags, by domain, the highest priority first, with the number of files of each.
with carried as (
    select h.processing_tag as tag, count(*) as files,
           count(*) filter (where h.processing is distinct from 'Raw') as processed
    from header h join diskfile d on d.id = h.diskfile_id and d.canonical
    where h.processing_tag is not null or h.processing is distinct from 'Raw'
    group by h.processing_tag)
select coalesce(p.tag, c.tag) as tag, p.tag is not null as known, p.domain, p.priority, p.published,
       p.description, coalesce(c.files, 0) as files, coalesce(c.processed, 0) as processed
from processingtag p full join carried c on c.tag = p.tag
order by coalesce(p.domain, ''), p.priority desc nulls last, coalesce(p.tag, c.tag) nulls last

-- delete_tag --
-- Forget a tag; files may still carry it.
delete from processingtag where tag = :tag

-- find_by_name --
-- Find present files by trimmed name, and by path unless that is None; lock their names.
select f.name, d.path, d.filename, d.isfits from file f join diskfile d on d.file_id = f.id and d.present
where f.name = :name and (cast(:path as text) is null or d.path = :path)
order by d.path for update of f

-- find_by_label --
-- Find present files by data label; lock their names.
select f.name, p.path, p.filename, p.isfits, h.processing
from header h
join diskfile d on d.id = h.diskfile_id and d.canonical
join file f on f.id = d.file_id
join diskfile p on p.file_id = d.file_id and p.path = d.path and p.present
where h.data_label = upper(:label)
order by f.name, p.path for update of f

-- lock_uploads_of --
-- Let the uploads of one file become durable one after the other, until the transaction ends.
select pg_advisory_xact_lock(hashtextextended(:key, 0))

-- preview_subjects --
-- What a preview needs to know of some versions.
select d.id, d.canonical, d.file_md5, d.data_md5, h.instrument, coalesce(h.types, '{}') as types
from diskfile d left join header h on h.diskfile_id = d.id
where d.id = any(:ids)

-- contents_of_headers --
-- MD5 of the uncompressed data behind some headers.
select h.id, d.data_md5 from header h join diskfile d on d.id = h.diskfile_id where h.id = any(:ids)

-- present_of_nights --
-- Present files of some nights.
select path, filename from diskfile where present and filename ~ :nights

-- versions_of_nights --
-- Versions of the files of some nights.
select d.filename, d.data_md5, d.file_md5, d.file_size, d.present, d.canonical from diskfile d
where substring(d.filename from '[12][09]\d\d\d\d\d\d') = any(:labels) and d.path = ''

-- lost_files --
-- Bad files that were moved aside and have not come again.
select q.path, q.filename, q.fault, q.kept_as, q.detail, q.at, count(*) over () as total from quarantine q
where q.restored_from is null and not exists (
    select 1 from diskfile d where d.present and d.filename = q.filename and d.path = q.path)
order by q.at desc limit :most

-- runs_by_state --
-- Dagster's runs that have not ended, by state.
select lower(status) as state, count(*) as number from runs
where status in ('NOT_STARTED', 'QUEUED', 'STARTING', 'STARTED', 'CANCELING') group by 1

-- runs_ended --
-- Dagster's runs that ended in the last hour, by state.
select lower(status) as state, count(*) as number from runs
where status in ('SUCCESS', 'FAILURE', 'CANCELED')
  and update_timestamp > (now() at time zone 'utc') - interval '1 hour' group by 1

-- runs_at_work --
-- Runs whose process is alive: it holds a lock.
select count(*) from pg_locks where locktype = 'advisory' and classid = :run_locks and granted
  and database = (select oid from pg_database where datname = current_database())

-- end_old_sessions --
-- Sessions that have expired, and those beyond the most that a person may have.
delete from session where expires_at <= now() or token_hash in
    (select token_hash from session where user_id = :id and expires_at > now()
     order by created_at desc, token_hash offset :most)

-- add_user --
-- Add a local user, or give an existing one a new password and role.
insert into users (username, fullname, password_hash, role)
values (:username, :fullname, :hash, :role)
on conflict (username) do update set password_hash = excluded.password_hash,
    role = excluded.role, fullname = coalesce(excluded.fullname, users.fullname),
    password_changed = now()

-- end_sessions --
-- All sessions of a person.
delete from session where user_id = (select id from users where username = :u)

-- lock_user --
-- The role of a person, whose row is locked.
select role from users where username = :u for update

-- list_users --
-- All users by name.
select u.username, u.role, array(select d.kind || ' ' || d.value from data_right d where d.user_id = u.id
    order by 1) as data_rights
from users u order by u.username

-- grant_data --
-- A person may see data that are not public yet; nothing where there is no such person.
insert into data_right (user_id, kind, value, granted_by)
select id, :kind, :value, :who from users where username = :u
on conflict (user_id, kind, value) do update set granted_by = excluded.granted_by returning user_id

-- withdraw_data --
-- A person may see them no longer.
delete from data_right using users
where users.id = data_right.user_id and username = :u and kind = :kind and value = :value
returning user_id

-- begin_session --
-- Note a session of a person who has signed in.
insert into session (token_hash, user_id, expires_at)
values (:token, :id, now() + make_interval(secs => :seconds))

-- note_sign_in --
-- A person has signed in.
update users set last_login = now() where id = :id

-- password_of --
-- The hashed password of a person.
select id, password_hash from users where username = :u

-- find_session --
-- Who holds a session cookie; None without a valid one.
select u.username, u.role, array(select d.kind || ' ' || d.value from data_right d where d.user_id = u.id)
    as data_rights
from session s join users u on u.id = s.user_id
where s.token_hash = :token and s.expires_at > now()

-- sign_out --
-- Close a session.
delete from session where token_hash = :token

-- add_token --
-- A token of a program; nothing when one of that name is in use.
insert into access_token (name, token_hash, scope, created_by, expires_at, owner_id)
values (:name, :hash, :scope, :who, now() + make_interval(days => :days),
        (select id from users where username = :owner))
on conflict (name) where revoked_at is null do nothing

-- revoke_token --
-- The token of a name is valid no longer.
update access_token set revoked_at = now() where name = :name and revoked_at is null

-- list_tokens --
-- All tokens, those that were revoked last.
select name, scope, created_at, created_by, expires_at, revoked_at, last_used_at,
       revoked_at is null and expires_at > now() as is_valid, u.username as owner
from access_token t left join users u on u.id = t.owner_id order by revoked_at desc nulls first, name, t.id

-- find_token --
-- The name and the scope of a token that is given, whose it is, and what is wrong with it.
select t.name, t.scope, t.revoked_at is not null as is_revoked, t.expires_at <= now() as is_expired,
       u.username as owner, u.role as owner_role,
       array(select d.kind || ' ' || d.value from data_right d where d.user_id = u.id) as data_rights
from access_token t left join users u on u.id = t.owner_id where t.token_hash = :hash

-- note_token_use --
-- A token was used; to the minute, so that not every request writes.
update access_token set last_used_at = now()
where token_hash = :hash and (last_used_at is null or last_used_at < now() - interval '1 minute')

-- is_alive --
-- Whether the server answers.
select 1

-- calibration_files --
-- The present files of some headers.
select h.id, h.data_label, f.name, d.path, d.filename, d.file_md5 from header h
join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
where h.id = any(:ids) and d.present

-- limit_lock_wait --
-- A row that is locked for long must not hold a connection as long.
set local lock_timeout = {milliseconds}

-- lock_attempts --
-- Attempts to sign in by one name, or from one address, take turns.
select pg_advisory_xact_lock(726874, hashtext(:username)), pg_advisory_xact_lock(726875, hashtext(:address))

-- failures_by_name --
-- How often a sign-in by a name has failed of late, and how long ago.
select count(*) as number, extract(epoch from clock_timestamp() - max(at))::float as age from login_failure
where username = :value and at > clock_timestamp() - make_interval(secs => :window)

-- failures_by_address --
-- How often a sign-in from an address has failed of late, and how long ago.
select count(*) as number, extract(epoch from clock_timestamp() - max(at))::float as age from login_failure
where address = :value and at > clock_timestamp() - make_interval(secs => :window)

-- forget_old_failures --
-- Failed attempts to sign in that no longer count.
delete from login_failure where at <= now() - make_interval(secs => :window)

-- add_failure --
-- An attempt to sign in has failed.
insert into login_failure (at, username, address) values (clock_timestamp(), :name, :address)

-- clear_failures --
-- Forget the failures of a name that has signed in.
delete from login_failure where username = :name

-- known_paths --
-- Every path that the database knows.
select distinct path from diskfile

-- known_names --
-- Which of some names at a path are known, as versions or on a queue.
select filename from diskfile where path = :path and filename = any(:names)
union select filename from work_item where path = :path and filename = any(:names)

-- old_versions --
-- Present versions that have not changed since a time, the oldest first.
select d.id, d.path, d.filename, d.file_md5, d.data_md5, d.file_size, d.lastmod from diskfile d
where d.present and d.canonical and (cast(:path as text) is null or d.path = :path) and d.lastmod < :before
order by d.lastmod, d.filename

-- lock_version --
-- A present version, locked: nobody may ingest or queue the file meanwhile.
select id from diskfile where id = :id and present and canonical for update

-- mark_absent --
-- A version is no longer in the store.
update diskfile set present = false where id = :id

-- count_present --
-- How many present versions there are.
select count(*) from diskfile where present

-- next_versions --
-- The next present versions in the order of their ids.
select id, path, filename, file_md5 from diskfile where present and id > :after order by id limit :limit

-- mark_all_absent --
-- Versions that are no longer in the store, unless they were superseded meanwhile.
update diskfile set present = false where id = any(:ids) and present returning id

-- has_versions_at_root --
-- Whether anything should be at the root of the store.
select 1 from diskfile where present and path = '' limit 1

-- next_to_scrub --
-- The next present versions to be hashed again.
select id, path, filename, file_md5, data_md5, file_size, lastmod, compressed from diskfile
where present and id > :after and (cast(:path as text) is null or path = :path)
  and (cast(:night as text) is null or strpos(filename, :night) > 0)
order by id limit :limit

-- bytes_to_read --
-- How many bytes a scrub has before it.
select coalesce(sum(file_size), 0) from diskfile
where present and (cast(:path as text) is null or path = :path)
  and (cast(:night as text) is null or strpos(filename, :night) > 0)

-- lock_present --
-- A version, locked, if it is still present.
select id from diskfile where id = :id and present for update

-- send_again --
-- Queue a file for export, if this site has it; returns whether it does.
select d.path, d.filename from diskfile d join file f on f.id = d.file_id where f.name = :name and d.present

-- daemon_heartbeats --
-- The last sign of life of Dagster's daemons.
select daemon_type, timestamp from daemon_heartbeats where daemon_type = any(:types)

-- sensor_ticks --
-- The newest tick of every sensor that is not switched off.
select i.instigator_body, t.timestamp from instigators i
cross join lateral (select timestamp from job_ticks t where t.selector_id = i.selector_id
                    order by timestamp desc limit 1) t
where i.instigator_type = 'SENSOR' and i.status <> 'STOPPED'

-- failed_runs --
-- Dagster's failed runs since a time, by job.
select pipeline_name, count(*) as failed, max(run_id) as one, max(update_timestamp) as latest
from runs where status = 'FAILURE' and update_timestamp > :since group by pipeline_name order by pipeline_name

-- lock_alerts --
-- One look at the alerts at a time.
select pg_advisory_xact_lock(7268733)

-- server_version --
-- The server's clock and version.
select clock_timestamp() as now, current_setting('server_version_num')::int as version

-- present_contents --
-- Name, MD5 and size of the uncompressed data of every present file.
select f.name, d.data_md5, d.data_size from diskfile d join file f on f.id = d.file_id where d.present

-- save_previews --
-- Versions have previews.
insert into preview (diskfile_id, filename, made_at)
select id, filename, now() from unnest(cast(:ids as bigint[]), cast(:filenames as text[])) as made(id, filename)
on conflict (diskfile_id) do update set filename = excluded.filename, made_at = now()

-- forget_previews --
-- Versions have no preview.
delete from preview where diskfile_id = any(:ids)

-- export_snapshot --
-- A name by which other sessions can see the database as this transaction does.
select pg_export_snapshot()

-- schema_revision --
-- The revision of the schema.
select version_num from alembic_version

-- all_tables --
-- Schema and name of every table.
select schemaname, tablename from pg_tables
where schemaname not in ('pg_catalog', 'information_schema') order by 1, 2

-- table_content --
-- Rows of a table, and a sum of hashes of them that does not depend on their order.
select count(*) as rows, coalesce(sum(hashtextextended(cast(t as text), 0)::numeric), 0) as digest from {table} t

-- newest --
-- Something that changes when anything comes or goes on.
select (select max(id) from diskfile) as version, (select max(id) from event) as event

-- days_with_data --
-- UTC dates with data before a time, the newest first, a step of the index each.
with recursive step as (
    select 1 as number, (select max(ut_datetime) from header where ut_datetime < :before) as latest
    union all
    select number + 1,
           (select max(ut_datetime) from header where ut_datetime < date_trunc('day', step.latest, 'UTC'))
    from step where latest is not null and number < :limit)
select cast(latest at time zone 'UTC' as date) as day from step where latest is not null order by 1 desc

-- items_of_night --
-- What is on the queues for the files of a night.
select id, stage, state, filename, coalesce(failed_at, added_at) as at, reason, error
from work_item where night = :night order by id

-- last_events --
-- The last that happened to files, by trimmed name and stage.
select distinct on (name, stage) regexp_replace(filename, '\.bz2$', '') as name, stage, outcome, at, seconds, detail
from event where filename = any(:names) order by name, stage, at desc, id desc

-- arrivals_of --
-- When files came to the site last: the time of the DHS file, or the end of the upload.
select name, max(at) from (
    select name, to_timestamp(mtime_ns / 1e9) as at from dhs_file where name = any(:names)
    union all
    select regexp_replace(filename, '\.bz2$', ''), received_at from upload where filename = any(:names)) came
group by name

-- progress_since --
-- What happened to the files of a night since a time.
select id, at, filename from event where at > :since and night = :night order by id limit :limit
