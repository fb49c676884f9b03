"""Leases of work in hand: prolonging them, and what happens when their holder is gone.

A lease that has run out is a death: its worker died, or is frozen or cut off, with these files in hand. Which
of them killed it is not known, so all of them are counted. After :data:`ALONE_AFTER` deaths a file is claimed
alone, after :data:`MOST_DEATHS` it is failed. The neighbours of a file that kills go on without it, and with
their success the count is gone; a worker that turns out to live takes back what was counted.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

__all__ = [
    "ALONE_AFTER",
    "BACK",
    "KILLED_ITS_WORKER",
    "MINE",
    "MOST_DEATHS",
    "Lease",
    "forgive",
    "new_lease",
    "reap",
    "renew",
]

#: After so many deaths a file is taken alone, and worked on in a process of its own.
ALONE_AFTER: Final = 2
#: After so many it is failed.
MOST_DEATHS: Final = 3
#: Reason of that failure.
KILLED_ITS_WORKER: Final = "killed_its_worker"


@dataclass(frozen=True)
class Lease:
    """The right of one worker to finish what it claimed."""

    owner: str
    token: str
    seconds: float


def new_lease(owner: str, seconds: float) -> Lease:
    """Make a lease with a fresh fencing token."""
    return Lease(owner, secrets.token_hex(16), seconds)


#: Condition of the items ``:ids`` that the lease ``:token`` still holds.
MINE: Final = "id = any(:ids) and lease_token = :token and state = 'running'"

#: An item that goes back to waiting gives way to one of the same key that was added meanwhile.
BACK: Final = """
with mine as (select * from work_item where {where} for update {locked}),
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
"""

_RENEW = text(f"""
update work_item set lease_expires = now() + make_interval(secs => :seconds) where {MINE} returning id
""")


def renew(connection: Connection, lease: Lease, ids: Sequence[int]) -> set[int]:
    """Prolong the lease of items in hand; returns those that are still ours."""
    return set(connection.scalars(_RENEW, {"ids": list(ids), "token": lease.token, "seconds": lease.seconds}))


# what a frozen worker has locked in the middle of a transaction must not hold the others up
_RUN_OUT = "state = 'running' and lease_expires < now()"

_GIVE_UP = text(f"""
with killed as (
    update work_item
    set state = 'failed', failed_at = now(), deaths = deaths + 1, lost_lease = lease_token,
        lease_owner = null, lease_token = null, lease_expires = null,
        reason = '{KILLED_ITS_WORKER}', traceback = null,
        error = deaths + 1 || ' workers died with this file in hand, the last one (' || lease_owner
                || ') with no other'
    where id in (select id from work_item where {_RUN_OUT} and deaths >= {MOST_DEATHS - 1}
                 for update skip locked)
    returning *),
  older as (delete from work_item f using killed k
            where f.state = 'failed' and f.id <> k.id and f.stage = k.stage and f.path = k.path
              and f.filename = k.filename and f.destination = k.destination),
  told as (insert into event (stage, outcome, path, filename, night, run_id, detail)
           select stage, 'failed', path, filename, night, run_id, reason || ': ' || error from killed)
select id from killed
""")
_REAP = text(
    BACK.format(
        where=_RUN_OUT,
        locked="skip locked",
        deaths="m.deaths + 1",
        changes="lost_lease = m.lease_token, not_before = now(), reason = 'worker_lost', "
        "error = 'the worker ' || coalesce(m.lease_owner, '?') || ' stopped in the middle of this file'",
    )
)


def reap(connection: Connection) -> int:
    """Take from dead workers what they held: items whose lease has run out wait again, or have failed.

    Returns
    -------
    int
        Number of items that were held.
    """
    given_up = len(connection.execute(_GIVE_UP).all())
    return given_up + len(connection.execute(_REAP).all())


_FORGIVE = text(f"""
update work_item w
set deaths = greatest(w.deaths - 1, 0), lost_lease = null,
    state = case when w.state = 'failed' then 'waiting' else w.state end,
    failed_at = null, not_before = case when w.state = 'failed' then now() else w.not_before end
where w.id = any(:ids) and w.lost_lease = :token
  and (w.state <> 'failed' or (w.reason = '{KILLED_ITS_WORKER}' and not exists (
      select 1 from work_item o where o.state = 'waiting' and o.stage = w.stage and o.path = w.path
        and o.filename = w.filename and o.destination = w.destination)))
returning w.id
""")


def forgive(connection: Connection, lease: Lease, ids: Sequence[int]) -> set[int]:
    """Take a death back, because the worker that held these items lives: it was frozen, or cut off.

    An item that was failed for this death waits again.

    Returns
    -------
    set of int
        The items of which the last death was this one.
    """
    return set(connection.scalars(_FORGIVE, {"ids": list(ids), "token": lease.token}))
