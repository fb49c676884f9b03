"""Tokens of programs: named, for one purpose, for a limited time; only their hashes are kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from sqlalchemy import Engine

from fits_dagster.ledger.management import write_audit
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.web.accounts import Person, person_of

__all__ = [
    "RIGHTS",
    "FoundToken",
    "ListedToken",
    "Right",
    "TokenNameError",
    "add_token",
    "find_token",
    "list_tokens",
    "revoke_token",
]

#: ``upload``: files, and what is known of programs; ``edit``: header edits; ``read``: what its owner may see.
#: None has another.
Right: TypeAlias = Literal["upload", "edit", "read"]
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)

#: By which a token is known where it should not be, in a file or a log.
_PREFIX: Final = "fitsd_"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class TokenNameError(ValueError):
    """The name of a token is not acceptable, or in use; or its owner is nobody."""


@dataclass(frozen=True)
class FoundToken:
    """A token that was shown."""

    name: str
    scope: Right
    #: Why it is not valid; empty when it is.
    fault: str
    #: Whose rights a token for reading has.
    owner: Person | None = None


@dataclass(frozen=True)
class ListedToken:
    """What is kept of a token."""

    name: str
    scope: Right
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    is_valid: bool
    owner: str | None


def add_token(
    engine: Engine, name: str, scope: Right, *, days: int, who: str, owner: str | None = None
) -> str:
    """Make a token.

    Parameters
    ----------
    days
        For how long it is valid.
    who
        Who does this, for the audit.
    owner
        The user whose rights a token for reading has; others have none.

    Returns
    -------
    str
        Its value, which nobody can read again.

    Raises
    ------
    TokenNameError
        The name has other characters than letters, digits, dots, dashes and underscores, or is in use; or
        there is no such owner.
    """
    if not _NAME.fullmatch(name):
        raise TokenNameError(f"{name!r}: a name has up to 64 letters, digits, dots, dashes and underscores")
    if (scope == "read") != bool(owner):
        raise TokenNameError("a token for reading shows what a user may see, and needs one; others have none")
    value = f"{_PREFIX}{secrets.token_urlsafe(32)}"
    with engine.begin() as connection:
        is_known = owner is None or connection.execute(RECORDS["lock_user"], {"u": owner}).first() is not None
        if not is_known:
            raise TokenNameError(f"there is no user {owner}")
        values = {"name": name, "hash": _hashed(value), "scope": scope, "who": who, "days": days}
        values["owner"] = owner
        if connection.execute(RECORDS["add_token"], values).rowcount == 0:
            raise TokenNameError(f"there is a token {name}; revoke it first, or choose another name")
        whose = f" what {owner} may see" if owner else ""
        write_audit(connection, who, "token added", f"{name}: {scope}{whose}, for {days} days")
    return value


def revoke_token(engine: Engine, name: str, *, who: str) -> bool:
    """Let a token be valid no longer, from the next request on; tells whether there was one."""
    with engine.begin() as connection:
        is_there = connection.execute(RECORDS["revoke_token"], {"name": name}).rowcount > 0
        if is_there:
            write_audit(connection, who, "token revoked", name)
    return is_there


def list_tokens(engine: Engine) -> list[ListedToken]:
    """Return all tokens, those that were revoked last."""
    with engine.connect() as connection:
        return [ListedToken(**row) for row in connection.execute(RECORDS["list_tokens"]).mappings()]


def find_token(engine: Engine, value: str) -> FoundToken | None:
    """Find the token of a value, and note that it is used if it is valid."""
    key = {"hash": _hashed(value)}
    with engine.begin() as connection:
        row = connection.execute(RECORDS["find_token"], key).one_or_none()
        if row is None:
            return None
        fault = "was revoked" if row.is_revoked else "has expired" if row.is_expired else ""
        if not fault:
            connection.execute(RECORDS["note_token_use"], key)
    owner = None if row.owner is None else person_of(row.owner, row.owner_role, row.data_rights)
    return FoundToken(row.name, row.scope, fault, owner)


def _hashed(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
