"""Leases of work in hand: prolonging them, and what happens when their holder is gone.

A lease that has run out is a death: its worker died, or is frozen or cut off, with these files in hand. Which
of them killed it is not known, so all of them are counted. After :data:`ALONE_AFTER` deaths a file is claimed
alone, after :data:`MOST_DEATHS` it is failed. The neighbours of a file that kills go on without it, and with
their success the count is gone; a worker that turns out to live takes back what was counted.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, TextClause
from sqlalchemy.exc import IntegrityError
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from fits_dagster.ledger.queries import QUERIES

__all__ = [
    "ALONE_AFTER",
    "KILLED_ITS_WORKER",
    "MOST_DEATHS",
    "Lease",
    "forgive",
    "new_lease",
    "owner_of",
    "reap",
    "renew",
    "wait_again",
]

#: After so many deaths a file is taken alone, and worked on in a process of its own.
ALONE_AFTER: Final = 2
#: After so many it is failed.
MOST_DEATHS: Final = 3
#: Reason of that failure.
KILLED_ITS_WORKER: Final = "killed_its_worker"

#: How often items may meet one that is added at the same moment.
_TRIES: Final = 5


@dataclass(frozen=True)
class Lease:
    """The right of one worker to finish what it claimed."""

    owner: str
    token: str
    seconds: float


def owner_of(pid: int) -> str:
    """Return what a process of this host is called as the owner of leases."""
    return f"{socket.gethostname()}:{pid}"


def new_lease(owner: str, seconds: float) -> Lease:
    """Make a lease with a fresh fencing token."""
    return Lease(owner, secrets.token_hex(16), seconds)


_KILLED: Final = {"killed": KILLED_ITS_WORKER}
_DEATHS: Final = {"most": MOST_DEATHS, **_KILLED}
_LOSE: Final = QUERIES.with_parts(
    "put_back", which="{run_out} for update skip locked", deaths="m.deaths + 1", changes="{lose}"
)


def renew(connection: Connection, lease: Lease, ids: Sequence[int]) -> set[int]:
    """Prolong the lease of items in hand; returns those that are still ours."""
    return set(
        connection.scalars(
            QUERIES["renew"], {"ids": list(ids), "token": lease.token, "seconds": lease.seconds}
        )
    )


def reap(connection: Connection, dead: Sequence[str] = ()) -> int:
    """Take from dead workers what they held: items whose lease has run out wait again, or have failed.

    Parameters
    ----------
    dead
        Owners that are known to be dead (:func:`owner_of`); their leases are not waited for.

    Returns
    -------
    int
        Number of items that were held.
    """
    if dead:
        connection.execute(QUERIES["disown"], {"dead": list(dead)})
    given_up = len(connection.execute(QUERIES["give_up"], _DEATHS).all())
    return given_up + len(wait_again(connection, _LOSE))


def forgive(connection: Connection, lease: Lease, ids: Sequence[int]) -> set[int]:
    """Take a death back, because the worker that held these items lives: it was frozen, or cut off.

    An item that was failed for this death waits again.

    Returns
    -------
    set of int
        The items of which the last death was this one.
    """
    values = {"ids": list(ids), "token": lease.token, **_KILLED}
    return {row.id for row in wait_again(connection, QUERIES["forgive"], values)}


@retry(retry=retry_if_exception_type(IntegrityError), stop=stop_after_attempt(_TRIES), reraise=True)
def wait_again(
    connection: Connection, statement: TextClause, values: Mapping[str, Any] | None = None
) -> Sequence[Row[Any]]:
    """Let items wait once more, by a statement in which each gives way to one of the same key that waits.

    One that is added at the same moment cannot be seen by the statement, and no two of a key may wait: the
    statement waits for the end of whoever adds it, and is said again.

    Returns
    -------
    list of Row
        What the statement returns.
    """
    with connection.begin_nested():
        return connection.execute(statement, values).all()
