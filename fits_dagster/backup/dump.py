"""Making backups: a dump and a manifest, of one snapshot; and verifying them.

A backup is ``<site>-<UTC>.dump``, in PostgreSQL's compressed form, and ``<site>-<UTC>.json`` beside it. The
manifest comes last, so a dump without one is no backup: it was broken off.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, create_engine

from fits_dagster import __version__
from fits_dagster.backup.contents import TableContent, contents_of, differences
from fits_dagster.backup.programs import BackupError, run_program
from fits_dagster.database.administration import administrator
from fits_dagster.database.server import database_url
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.settings import Settings, SiteName
from fits_dagster.storage.landing import md5_of, write_durably

__all__ = [
    "STAMP",
    "Backup",
    "make_backup",
    "read_manifest",
    "scratch_database",
    "verify",
]

#: The moment in the names of its files.
STAMP: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Backup:
    """A backup that is whole."""

    dump: Path
    site: SiteName
    made_at: datetime
    #: Revision of the schema.
    schema: str
    md5: str
    tables: Mapping[str, TableContent]

    @property
    def manifest(self) -> Path:
        """The file that describes it."""
        return self.dump.with_suffix(".json")

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables.values())


def make_backup(
    settings: Settings,
    site: SiteName,
    directory: Path,
    *,
    server: URL | None = None,
    moment: datetime | None = None,
) -> Backup:
    """Dump a site's database, while it is at work, as it is at one moment.

    Parameters
    ----------
    server
        Another server that has the site's database, under the same names.
    moment
        Of which the database there is; by default now.

    Raises
    ------
    BackupError
        It could not be made; nothing that looks like a backup is left.
    """
    directory.mkdir(parents=True, exist_ok=True)
    url = database_url(settings, site)
    if server is not None:
        url = server.set(username=url.username, database=url.database)
    made_at = (moment or datetime.now(UTC)).replace(microsecond=0)
    dump = directory / f"{site}-{made_at:{STAMP}}.dump"
    if dump.exists():
        raise BackupError(f"{dump} is there already")
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            # the dump, the revision and the counts are of this transaction's snapshot
            snapshot = connection.scalar(RECORDS["export_snapshot"])
            schema = str(connection.scalar(RECORDS["schema_revision"]))
            arguments = ["--format=custom", "--no-owner", f"--snapshot={snapshot}", f"--file={dump}"]
            run_program("pg_dump", arguments, url)
            tables = contents_of(connection)
    except BaseException:
        dump.unlink(missing_ok=True)
        raise
    finally:
        engine.dispose()
    backup = Backup(dump, site, made_at, schema, md5_of(dump), tables)
    _write_manifest(backup)
    return backup


def verify(settings: Settings, backup: Backup) -> None:
    """Restore a backup into a scratch database of the same server, and compare every table.

    Raises
    ------
    BackupError
        It is not what was dumped; the message names the tables.
    """
    if md5_of(backup.dump) != backup.md5:
        raise BackupError(f"{backup.dump} has another MD5 than when it was made: do not keep it alone")
    with scratch_database(settings, backup.site) as url:
        run_program("pg_restore", ["--no-owner", "--exit-on-error", str(backup.dump)], url)
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                found = contents_of(connection)
        finally:
            engine.dispose()
    if wrong := differences(backup.tables, found):
        raise BackupError(f"{backup.dump} does not give back what was dumped: {'; '.join(wrong)}")


@contextmanager
def scratch_database(settings: Settings, site: SiteName) -> Iterator[URL]:
    """Make an empty database beside a site's own, for the time of the context."""
    own = database_url(settings, site)
    name = f"scratch_{site}_{secrets.token_hex(4)}"
    with administrator(own) as admin:
        admin.make(name)
    try:
        yield own.set(database=name)
    finally:
        with administrator(own) as admin:
            admin.drop(name)


def _write_manifest(backup: Backup) -> None:
    written: dict[str, Any] = {
        "site": backup.site,
        "made_at": backup.made_at.isoformat(),
        "version": __version__,
        "schema": backup.schema,
        "md5": backup.md5,
        "tables": {name: table.as_dict() for name, table in backup.tables.items()},
    }
    temporary = backup.manifest.with_suffix(".json.tmp")
    write_durably(temporary, (json.dumps(written, indent=1) + "\n").encode())
    temporary.replace(backup.manifest)


def read_manifest(path: Path, dump: Path) -> Backup:
    """Read the manifest of a dump.

    Raises
    ------
    BackupError
        It is none.
    """
    try:
        read = json.loads(path.read_text())
        return Backup(
            dump,
            read["site"],
            datetime.fromisoformat(read["made_at"]),
            read["schema"],
            read["md5"],
            {name: TableContent(**table) for name, table in read["tables"].items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path} is no manifest of a backup: {error}") from error
