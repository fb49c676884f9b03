"""Tables of the people who sign in, and of the programs that have tokens."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text, func, text

from fits_dagster.records.tables import metadata, timestamp

__all__ = ["access_token", "data_right", "login_failure", "session", "user"]

user = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    Column("fullname", Text),
    Column("email", Text),
    Column("password_hash", Text, nullable=False),
    #: ``reader``, ``operator`` or ``staff``, each with the rights of the one before; null: none of them.
    Column("role", Text),
    Column("account_created", timestamp, nullable=False, server_default=func.now()),
    Column("password_changed", timestamp, nullable=False, server_default=func.now()),
    Column("last_login", timestamp),
    CheckConstraint("role in ('reader', 'operator', 'staff')", name="users_role"),
)

#: A signed-in browser; only the hash of its cookie is kept.
session = Table(
    "session",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", timestamp, nullable=False, server_default=func.now()),
    Column("expires_at", timestamp, nullable=False),
)

#: Data that are not public yet and that a person may see: those of a program, of an observation, or one file.
data_right = Table(
    "data_right",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    #: ``program``, ``observation`` or ``file``.
    Column("kind", Text, primary_key=True),
    #: A program id, an observation id, or the name of a file without ``.bz2``.
    Column("value", Text, primary_key=True),
    Column("granted_at", timestamp, nullable=False, server_default=func.now()),
    Column("granted_by", Text, nullable=False),
    CheckConstraint("kind in ('program', 'observation', 'file')", name="data_right_kind"),
)

#: Failed attempts to sign in, by which further ones are slowed down.
login_failure = Table(
    "login_failure",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("at", timestamp, nullable=False, server_default=func.now()),
    Column("username", Text, nullable=False),
    Column("address", Text, nullable=False),
    Index("ix_login_failure_username", "username", "at"),
    Index("ix_login_failure_address", "address", "at"),
)

#: A secret by which a program shows what it may do; only its hash is kept. Rows stay, for the audit.
access_token = Table(
    "access_token",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("name", Text, nullable=False),
    Column("token_hash", Text, nullable=False, unique=True),
    #: ``upload``: files, and what is known of programs; ``edit``: header edits; ``read``: what its owner may
    #: see. None has another.
    Column("scope", Text, nullable=False),
    Column("created_at", timestamp, nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("expires_at", timestamp, nullable=False),
    Column("revoked_at", timestamp),
    #: To the minute.
    Column("last_used_at", timestamp),
    #: Whose rights a token for reading has; null for others.
    Column("owner_id", ForeignKey("users.id", ondelete="CASCADE")),
    CheckConstraint("scope in ('upload', 'edit', 'read')", name="access_token_scope"),
    CheckConstraint("(scope = 'read') = (owner_id is not null)", name="access_token_owner"),
    # a name that was revoked may be given again
    Index("ix_access_token_name", "name", unique=True, postgresql_where=text("revoked_at is null")),
)
