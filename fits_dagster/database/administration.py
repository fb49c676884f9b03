"""Databases of a server: making, renaming and dropping them."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Final

from sqlalchemy import URL, Connection, create_engine, text

__all__ = ["IN_UTF8", "Administrator", "administrator", "making"]

#: A server that was made without a locale has its databases in SQL_ASCII, and so tells all texts as bytes.
IN_UTF8: Final = {"client_encoding": "utf8"}


def making(name: str) -> str:
    """Return the statement that makes an empty database, in UTF-8 whatever the server's others are in."""
    return f"create database \"{name}\" encoding 'UTF8' template template0"


class Administrator:
    """Somebody who may make, rename and drop databases.

    Parameters
    ----------
    connection
        Outside transactions, to a database that stays.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def names(self) -> Set[str]:
        """Return the names of the server's databases."""
        return set(self._connection.scalars(text("select datname from pg_database")))

    def make(self, name: str) -> None:
        """Make an empty database."""
        self._connection.execute(text(making(name)))

    def drop(self, name: str) -> None:
        """Drop a database, if it is there, whoever is connected."""
        self._connection.execute(text(f'drop database if exists "{name}" with (force)'))

    def rename(self, before: str, after: str) -> None:
        """Give a database another name.

        Raises
        ------
        sqlalchemy.exc.DBAPIError
            Somebody is connected to it.
        """
        self._connection.execute(text(f'alter database "{before}" rename to "{after}"'))


@contextmanager
def administrator(url: URL, *, database: str = "postgres") -> Iterator[Administrator]:
    """Work as administrator of a server for the time of the context.

    Parameters
    ----------
    url
        Of any database of the server.
    database
        One that stays as it is.
    """
    engine = create_engine(
        url.set(drivername="postgresql+psycopg", database=database),
        isolation_level="AUTOCOMMIT",
        connect_args={**IN_UTF8},
    )
    try:
        with engine.connect() as connection:
            yield Administrator(connection)
    finally:
        engine.dispose()
