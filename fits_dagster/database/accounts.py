"""Tables of the people who sign in."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Table, Text, func, text

from fits_dagster.database.tables import metadata, timestamp

__all__ = ["session", "user"]

user = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    Column("fullname", Text),
    Column("email", Text),
    Column("password_hash", Text, nullable=False),
    Column("gemini_staff", Boolean, nullable=False, server_default=text("false")),
    Column("account_created", timestamp, nullable=False, server_default=func.now()),
    Column("password_changed", timestamp, nullable=False, server_default=func.now()),
    Column("last_login", timestamp),
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
