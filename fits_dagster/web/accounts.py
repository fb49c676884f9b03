"""People: passwords, sign-on, sessions."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from argon2 import PasswordHasher, low_level
from argon2.exceptions import InvalidHashError, VerificationError
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from fits_dagster.ledger.management import write_audit
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.settings import SiteName
from fits_dagster.web.throttling import Attempt, clear_failures, hold, note_failure, refuse_if_locked

__all__ = [
    "ROLES",
    "AccountsBusyError",
    "DataRight",
    "Person",
    "Role",
    "WeakPasswordError",
    "add_user",
    "check_password_strength",
    "find_session",
    "generate_password",
    "grant_data",
    "list_users",
    "person_of",
    "session_cookie",
    "sign_in",
    "sign_out",
    "withdraw_data",
]

#: ``reader`` sees queues and runs; ``operator`` also tries again, cancels and pauses; ``staff`` also reads
#: data that are not released yet.
Role: TypeAlias = Literal["reader", "operator", "staff"]
#: From the fewest rights to all of them.
ROLES: Final[tuple[Role, ...]] = get_args(Role)

_MIN_LENGTH: Final = 14
#: Browsers of one user that may be signed in at a time; the oldest session gives way.
_MOST_SESSIONS: Final = 100
#: Tests let it cost less.
HASHER: Final = PasswordHasher()


class AccountsBusyError(Exception):
    """The accounts are busy."""


class WeakPasswordError(ValueError):
    """At least 14 characters with lower case, upper case, a digit and another character are needed."""


@dataclass(frozen=True)
class DataRight:
    """Data that are not public yet and that a person may see."""

    kind: Literal["program", "observation", "file"]
    #: Program id, observation id, or name of a file without ``.bz2``.
    value: str


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    username: str
    #: None for somebody who may only do what everybody may.
    role: Role | None
    data_rights: frozenset[DataRight] = frozenset()

    def may(self, role: Role) -> bool:
        """Tell whether this person has at least the rights of a role."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)


def session_cookie(site: SiteName) -> str:
    """Return the name of a site's cookie: two sites on one host, at two ports, share all cookies."""
    return f"gemini_{site}_session"


def check_password_strength(password: str) -> None:
    """Refuse a weak password.

    Raises
    ------
    WeakPasswordError
        It is too short or lacks a kind of character.
    """
    kinds = (
        any(c.islower() for c in password),
        any(c.isupper() for c in password),
        any(c.isdigit() for c in password),
        any(not c.isalnum() for c in password),
    )
    if len(password) < _MIN_LENGTH or not all(kinds):
        raise WeakPasswordError((WeakPasswordError.__doc__ or "").strip())


def generate_password() -> str:
    """Make a password that meets the rules."""
    return f"{secrets.token_urlsafe(12)}-aA1"


def add_user(
    engine: Engine,
    username: str,
    password: str,
    *,
    role: Role | None,
    fullname: str | None = None,
    keep_role: bool = False,
    who: str = "fits_dagster",
) -> bool:
    """Add a local user, or give an existing one a new password and role.

    That ends the user's sessions, and a pause after too many failures.

    Parameters
    ----------
    keep_role
        Leave the role of an existing user as it is.
    who
        Who does this, for the audit.

    Returns
    -------
    bool
        Whether the user is new.

    Raises
    ------
    WeakPasswordError
        The password is too weak.
    """
    check_password_strength(password)
    with engine.begin() as connection:
        before = connection.execute(RECORDS["lock_user"], {"u": username}).one_or_none()
        if before is not None and keep_role:
            role = before.role
        connection.execute(
            RECORDS["add_user"],
            {"username": username, "fullname": fullname, "hash": HASHER.hash(password), "role": role},
        )
        connection.execute(
            RECORDS["end_sessions"],
            {"u": username},
        )
        clear_failures(connection, Attempt.of(username, ""))
        if before is None:
            write_audit(connection, who, "user added", f"{username}: role {role or 'none'}")
        else:
            change = (
                f"role {before.role or 'none'} -> {role or 'none'}" if before.role != role else "password"
            )
            write_audit(connection, who, "user changed", f"{username}: {change}")
    return before is None


def list_users(connection: Connection) -> list[Person]:
    """Return all users by name."""
    rows = connection.execute(RECORDS["list_users"])
    return [person_of(*row) for row in rows]


def person_of(username: str, role: Role | None, data_rights: Iterable[str]) -> Person:
    """Make a person of what the database says; each right is its kind and its value, with a blank between."""
    rights = (each.split(" ", 1) for each in data_rights)
    return Person(username, role, frozenset(DataRight(cast(Any, kind), value) for kind, value in rights))


def grant_data(engine: Engine, username: str, right: DataRight, *, who: str = "fits_dagster") -> bool:
    """Let a person see data that are not public yet; tells whether there is such a person.

    Parameters
    ----------
    who
        Who does this, for the audit.
    """
    with engine.begin() as connection:
        values = {"u": username, "kind": right.kind, "value": right.value, "who": who}
        is_known = connection.execute(RECORDS["grant_data"], values).first() is not None
        if is_known:
            write_audit(connection, who, "data granted", f"{username}: {right.kind} {right.value}")
    return is_known


def withdraw_data(engine: Engine, username: str, right: DataRight, *, who: str = "fits_dagster") -> bool:
    """Let a person see data no longer; tells whether the person could."""
    with engine.begin() as connection:
        values = {"u": username, "kind": right.kind, "value": right.value}
        had = connection.execute(RECORDS["withdraw_data"], values).first() is not None
        if had:
            write_audit(connection, who, "data withdrawn", f"{username}: {right.kind} {right.value}")
    return had


def sign_in(
    engine: Engine,
    username: str,
    password: str,
    *,
    hours: float,
    address: str = "",
    wait_seconds: float = 5.0,
) -> str | None:
    """Check a password and open a session.

    Parameters
    ----------
    address
        Network address of the browser; failures are counted for it, as they are for the name.
    wait_seconds
        Longest wait for other attempts of the same name or address.

    Returns
    -------
    str or None
        Value for the session cookie; None when name or password are wrong.

    Raises
    ------
    TooManyFailuresError
        There were too many failures of late; the password was not looked at.
    AccountsBusyError
        Somebody holds the account's row.
    """
    try:
        return _sign_in(engine, username, password, hours=hours, address=address, wait_seconds=wait_seconds)
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise AccountsBusyError from error
        raise


def _sign_in(
    engine: Engine, username: str, password: str, *, hours: float, address: str, wait_seconds: float
) -> str | None:
    attempt = Attempt.of(username, address)
    with engine.begin() as connection:
        hold(connection, attempt, wait_seconds=wait_seconds)
        refuse_if_locked(connection, attempt)
        user_id = _verified(connection, username, password)
        if user_id is None:
            note_failure(connection, attempt)
            return None
        clear_failures(connection, attempt)
        token = secrets.token_urlsafe(32)
        connection.execute(
            RECORDS["begin_session"],
            {"token": _hashed(token), "id": user_id, "seconds": hours * 3600},
        )
        connection.execute(RECORDS["note_sign_in"], {"id": user_id})
        connection.execute(RECORDS["end_old_sessions"], {"id": user_id, "most": _MOST_SESSIONS})
    return token


def _verified(connection: Connection, username: str, password: str) -> int | None:
    """Return the user of a name and a password; takes the same time when there is no such user."""
    row = connection.execute(
        RECORDS["password_of"],
        {"u": username.replace("\x00", "\ufffd")},
    ).one_or_none()
    try:
        HASHER.verify(row.password_hash if row is not None else _hash_of_nobody(), password)
    except (VerificationError, InvalidHashError):
        return None
    return int(row.id) if row is not None else None


def _hash_of_nobody() -> str:
    """Return a hash that no password has: made up, which is free, where to verify it costs as much as any."""
    salt, digest = (
        b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
        for length in (HASHER.salt_len, HASHER.hash_len)
    )
    cost = f"m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}"
    return f"$argon2id$v={low_level.ARGON2_VERSION}${cost}${salt}${digest}"


def find_session(engine: Engine, token: str | None) -> Person | None:
    """Return who holds a session cookie; None without a valid one."""
    if not token:
        return None
    with engine.connect() as connection:
        row = connection.execute(
            RECORDS["find_session"],
            {"token": _hashed(token)},
        ).one_or_none()
    return person_of(*row) if row is not None else None


def sign_out(engine: Engine, token: str | None) -> None:
    """Close a session."""
    if token:
        with engine.begin() as connection:
            connection.execute(RECORDS["sign_out"], {"token": _hashed(token)})


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
