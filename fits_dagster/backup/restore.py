"""Restoring a backup: beside the database that is there, which is put aside and not deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import DBAPIError

from fits_dagster.backup.contents import contents_of, differences
from fits_dagster.backup.dump import Backup
from fits_dagster.backup.programs import BackupError, run_program
from fits_dagster.database.administration import Administrator, administrator
from fits_dagster.database.server import database_url
from fits_dagster.schema.migrate import migrate
from fits_dagster.settings import Settings, SiteName

__all__ = ["Restored", "restore"]


@dataclass(frozen=True)
class Restored:
    """What was done."""

    rows: int
    #: Name of the database that was there before; None if there was none.
    put_aside: str | None


def restore(settings: Settings, site: SiteName, backup: Backup) -> Restored:
    """Put a backup in the place of a site's database; the system must not be running.

    The backup is restored and compared under another name, and brought up to the schema of this version;
    then the names change. Whatever fails before that leaves the site as it was.

    Raises
    ------
    BackupError
        The backup is not what was dumped, or programs are still connected to the database.
    """
    own = database_url(settings, site)
    moment = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
    fresh, aside = f"{own.database}_restored_{moment}", f"{own.database}_before_{moment}"
    with administrator(own) as admin:
        admin.make(fresh)
        try:
            run_program(
                "pg_restore", ["--no-owner", "--exit-on-error", str(backup.dump)], own.set(database=fresh)
            )
            rows = _compare_and_migrate(own.set(database=fresh), backup)
            there = own.database in admin.names()
            if there:
                _rename(admin, str(own.database), aside)
            _rename(admin, fresh, str(own.database))
        except BaseException:
            admin.drop(fresh)
            raise
    return Restored(rows, aside if there else None)


def _compare_and_migrate(url: URL, backup: Backup) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            found = contents_of(connection)
        if wrong := differences(backup.tables, found):
            raise BackupError(f"{backup.dump} does not give back what was dumped: {'; '.join(wrong)}")
        migrate(engine)
    finally:
        engine.dispose()
    return backup.rows


def _rename(admin: Administrator, before: str, after: str) -> None:
    try:
        admin.rename(before, after)
    except DBAPIError as error:
        raise BackupError(
            f"the database {before} is in use: stop the system and its workers on all machines ({error.orig})"
        ) from error
