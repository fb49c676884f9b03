"""Slowing down those who try passwords: too many failures, and nobody is let in for a while.

Failures are counted for a name and for an address, whether there is such a user or not. From the limit on,
each further one doubles the pause, up to the length of the window in which failures count. While a pause
lasts no password is looked at, so that the right one does not stand out.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from fits_dagster.ledger.management import write_audit
from fits_dagster.records.queries import QUERIES as RECORDS

__all__ = [
    "ADDRESS_LIMIT",
    "NAME_LIMIT",
    "WINDOW_S",
    "Attempt",
    "TooManyFailuresError",
    "clear_failures",
    "hold",
    "note_failure",
    "refuse_if_locked",
]

NAME_LIMIT: Final = 5
ADDRESS_LIMIT: Final = 20
#: Failures count for so many seconds; also the longest pause.
WINDOW_S: Final = 15 * 60
_FIRST_PAUSE_S: Final = 30.0
_LONGEST_NAME: Final = 200
_IPV6_NETWORK_BITS: Final = 64


class TooManyFailuresError(Exception):
    """Too many failed attempts to sign in."""

    def __init__(self, seconds: float) -> None:
        super().__init__((type(self).__doc__ or "").strip())
        #: Time until the next attempt is looked at.
        self.seconds = seconds


@dataclass(frozen=True)
class Attempt:
    """Who tries to sign in, in the form in which failures are kept."""

    username: str
    address: str

    @classmethod
    def of(cls, username: str, address: str) -> Attempt:
        """Shorten a name, and an IPv6 address to its network, which one person has the whole of."""
        return cls(username.replace("\x00", "")[:_LONGEST_NAME], _network(address))


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:_LONGEST_NAME]
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))


# the clock, not the beginning of the transaction, which may have waited for its turn
_COUNT = """
select count(*) as number, extract(epoch from clock_timestamp() - max(at))::float as age from login_failure
where {column} = :value and at > clock_timestamp() - make_interval(secs => :window)
"""


def hold(connection: Connection, attempt: Attempt, *, wait_seconds: float) -> None:
    """Let attempts of one name, and of one address, take turns until the transaction ends.

    Else many at once would all be looked at before the first failure is noted.

    Parameters
    ----------
    wait_seconds
        Longest wait for a row that another attempt has locked.
    """
    milliseconds = str(max(1, round(wait_seconds * 1000)))  # 0 would be for ever
    connection.execute(RECORDS.with_parts("limit_lock_wait", milliseconds=milliseconds))
    connection.execute(RECORDS["lock_attempts"], {"username": attempt.username, "address": attempt.address})


def refuse_if_locked(connection: Connection, attempt: Attempt) -> None:
    """Refuse an attempt during a pause.

    Raises
    ------
    TooManyFailuresError
        The name or the address has too many failures.
    """
    left = max(_pause_left(connection, attempt))
    if left > 0:
        raise TooManyFailuresError(left)


def note_failure(connection: Connection, attempt: Attempt) -> None:
    """Note a failure; those that start a pause leave a row in the audit. Failures too old to count go."""
    connection.execute(
        RECORDS["forget_old_failures"],
        {"window": WINDOW_S},
    )
    connection.execute(
        RECORDS["add_failure"],
        {"name": attempt.username, "address": attempt.address},
    )
    left = max(_pause_left(connection, attempt))
    if left > 0:
        detail = f"too many failures, the last from {attempt.address}; refused for {math.ceil(left)} s"
        write_audit(connection, attempt.username, "sign-in refused", detail)


def clear_failures(connection: Connection, attempt: Attempt) -> None:
    """Forget the failures of a name that has signed in."""
    connection.execute(RECORDS["clear_failures"], {"name": attempt.username})


def _pause_left(connection: Connection, attempt: Attempt) -> tuple[float, float]:
    """Return the seconds left of the name's pause and of the address's."""
    left = []
    for query, value, limit in (
        (RECORDS["failures_by_name"], attempt.username, NAME_LIMIT),
        (RECORDS["failures_by_address"], attempt.address, ADDRESS_LIMIT),
    ):
        number, age = connection.execute(query, {"value": value, "window": WINDOW_S}).one()
        pause = min(_FIRST_PAUSE_S * 2.0 ** (number - limit), WINDOW_S) if number >= limit else 0.0
        left.append(pause - age if pause else 0.0)
    return left[0], left[1]
