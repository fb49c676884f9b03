"""People: passwords, sign-on, sessions."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, text

__all__ = [
    "ROLES",
    "SESSION_COOKIE",
    "Person",
    "Role",
    "WeakPasswordError",
    "add_user",
    "check_password_strength",
    "find_session",
    "generate_password",
    "list_users",
    "sign_in",
    "sign_out",
]

#: ``reader`` sees queues and runs; ``operator`` also tries again, cancels and pauses; ``staff`` also reads
#: data that are not released yet.
Role: TypeAlias = Literal["reader", "operator", "staff"]
#: From the fewest rights to all of them.
ROLES: Final[tuple[Role, ...]] = get_args(Role)

SESSION_COOKIE: Final = "gemini_archive_session"
_MIN_LENGTH: Final = 14
_hasher = PasswordHasher()
#: Verified against when there is no such user, so that both cases take the same time.
_NOBODY: Final = _hasher.hash(secrets.token_hex(16))


class WeakPasswordError(ValueError):
    """At least 14 characters with lower case, upper case, a digit and another character are needed."""


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    username: str
    #: None for somebody who may only do what everybody may.
    role: Role | None

    def may(self, role: Role) -> bool:
        """Tell whether this person has at least the rights of a role."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)


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
    engine: Engine, username: str, password: str, *, role: Role | None, fullname: str | None = None
) -> bool:
    """Add a local user, or give an existing one a new password and role.

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
        new = connection.scalar(
            text("""
            insert into users (username, fullname, password_hash, role)
            values (:username, :fullname, :hash, :role)
            on conflict (username) do update set password_hash = excluded.password_hash,
                role = excluded.role, fullname = coalesce(excluded.fullname, users.fullname),
                password_changed = now()
            returning xmax = 0
            """),
            {
                "username": username,
                "fullname": fullname,
                "hash": _hasher.hash(password),
                "role": role,
            },
        )
        if not new:
            connection.execute(
                text("delete from session where user_id = (select id from users where username = :u)"),
                {"u": username},
            )
    return bool(new)


def list_users(connection: Connection) -> list[Person]:
    """Return all users by name."""
    rows = connection.execute(text("select username, role from users order by username"))
    return [Person(name, role) for name, role in rows]


def sign_in(engine: Engine, username: str, password: str, *, hours: float) -> str | None:
    """Check a password and open a session.

    Returns
    -------
    str or None
        Value for the session cookie; None when name or password are wrong.
    """
    with engine.begin() as connection:
        row = connection.execute(
            text("select id, password_hash from users where username = :u"), {"u": username}
        ).one_or_none()
        try:
            _hasher.verify(row.password_hash if row is not None else _NOBODY, password)
        except (VerificationError, InvalidHashError):
            return None
        if row is None:
            return None
        token = secrets.token_urlsafe(32)
        connection.execute(
            text("""
            insert into session (token_hash, user_id, expires_at)
            values (:token, :id, now() + make_interval(secs => :seconds))
            """),
            {"token": _hashed(token), "id": row.id, "seconds": hours * 3600},
        )
        connection.execute(text("update users set last_login = now() where id = :id"), {"id": row.id})
        connection.execute(text("delete from session where expires_at < now()"))
    return token


def find_session(engine: Engine, token: str | None) -> Person | None:
    """Return who holds a session cookie; None without a valid one."""
    if not token:
        return None
    with engine.connect() as connection:
        row = connection.execute(
            text("""
            select u.username, u.role from session s join users u on u.id = s.user_id
            where s.token_hash = :token and s.expires_at > now()
            """),
            {"token": _hashed(token)},
        ).one_or_none()
    return Person(row.username, row.role) if row is not None else None


def sign_out(engine: Engine, token: str | None) -> None:
    """Close a session."""
    if token:
        with engine.begin() as connection:
            connection.execute(
                text("delete from session where token_hash = :token"), {"token": _hashed(token)}
            )


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
