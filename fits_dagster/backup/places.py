"""Where backups are kept: a directory, or a path in an S3 bucket."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fits_dagster.backup.dump import STAMP, Backup, read_manifest
from fits_dagster.backup.programs import BackupError
from fits_dagster.errors import DataflowError
from fits_dagster.settings import S3Settings, Settings, SiteName
from fits_dagster.storage import DirectoryStore, ObjectStore, S3Store

__all__ = ["Kept", "Place", "find_backup", "open_place"]

_S3: Final = "s3://"
_DUMP: Final = re.compile(r"(?P<site>.+)-(?P<stamp>\d{8}T\d{6}Z)\.dump")


@dataclass(frozen=True)
class Kept:
    """A backup that is whole, in its place."""

    #: What the restore command is told.
    address: str
    #: Of the dump, in the place's store.
    key: str
    site: SiteName
    made_at: datetime
    #: Bytes of the dump.
    size: int

    @property
    def manifest_key(self) -> str:
        """Key of the file that describes it."""
        return _manifest_of(self.key)


class Place:
    """A place of backups.

    Parameters
    ----------
    store
        A store of files, and ``path``, the path in it.
    address
        What people call the place.
    workshop
        Directory with room for a dump: below it one is made, and put where it is restored from.
    """

    def __init__(self, store: ObjectStore, path: str, address: str, workshop: Path) -> None:
        self.address = address
        self._store, self._path, self._workshop = store, path, workshop

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        """Give an empty directory to make a backup in; what is not kept goes away with it."""
        self._workshop.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=self._workshop) as name:
            yield Path(name)

    def keep(self, made: Backup) -> Kept:
        """Take a backup out of the workshop.

        Raises
        ------
        BackupError
            There is one of this name, or the place does not take it.
        """
        prefix = f"{self._path}/" if self._path else ""
        key = f"{prefix}{made.dump.name}"
        with self._errors_of_the_place():
            if self._store.stat(_manifest_of(key)) is not None:
                raise BackupError(f"{self.address}/{made.dump.name} is there already")
            dump = self._store.put(made.dump, key, md5=made.md5, move=True)
            # the manifest comes last: without it a dump is no backup
            self._store.put(made.manifest, _manifest_of(key), move=True)
        return Kept(f"{self.address}/{made.dump.name}", key, made.site, made.made_at, dump.size)

    def kept(self, site: SiteName | None = None) -> list[Kept]:
        """Return the backups that are whole, the newest first; of all sites, or of one.

        Raises
        ------
        BackupError
            The place does not say.
        """
        with self._errors_of_the_place():
            objects = {each.key: each for each in self._store.objects(self._path)}
        found = []
        for key, each in objects.items():
            name = key.rpartition("/")[2]
            said = _DUMP.fullmatch(name)
            if said is None or _manifest_of(key) not in objects or site not in (None, said["site"]):
                continue
            made_at = datetime.strptime(said["stamp"], STAMP).replace(tzinfo=UTC)
            found.append(Kept(f"{self.address}/{name}", key, said["site"], made_at, each.size))
        return sorted(found, key=lambda kept: kept.made_at, reverse=True)

    def described(self, kept: Kept) -> Backup:
        """Read what a backup holds, without its dump.

        Raises
        ------
        BackupError
            Its manifest cannot be read.
        """
        with self._errors_of_the_place(), self._store.local(kept.manifest_key) as manifest:
            return read_manifest(manifest, Path(kept.key))

    @contextmanager
    def fetched(self, kept: Kept) -> Iterator[Backup]:
        """Give a backup as local files, for the time of the context.

        Raises
        ------
        BackupError
            The place does not give it.
        """
        with ExitStack() as held:
            with self._errors_of_the_place():
                manifest = held.enter_context(self._store.local(kept.manifest_key))
                dump = held.enter_context(self._store.local(kept.key))
            yield read_manifest(manifest, dump)

    def delete_old(self, site: SiteName, number: int) -> list[Kept]:
        """Delete all but the newest backups of a site; returns what was deleted."""
        old = self.kept(site)[number:]
        with self._errors_of_the_place():
            for each in old:
                self._store.delete(each.manifest_key)
                self._store.delete(each.key)
        return old

    @contextmanager
    def _errors_of_the_place(self) -> Iterator[None]:
        """Say in which place something went wrong."""
        try:
            yield
        except DataflowError as error:
            raise BackupError(f"{self.address}: {error}") from error


def open_place(settings: Settings, address: str = "") -> Place:
    """Open a place of backups.

    Parameters
    ----------
    address
        A directory, or ``s3://bucket/path``; by default that of the settings. S3 is reached as the stores of
        the sites are.

    Raises
    ------
    BackupError
        It is none.
    """
    address = (address or settings.backups or str(settings.home / "backups")).rstrip("/")
    if not address.startswith(_S3):
        directory = Path(address).expanduser().absolute()
        return Place(DirectoryStore(directory), "", str(directory), directory)
    bucket, _, path = address.removeprefix(_S3).partition("/")
    if not bucket:
        raise BackupError(f"{address} names no bucket")
    ours = [settings.site(name) for name in settings.sites]
    known = next((site.s3 for site in ours if site.s3 != S3Settings()), S3Settings())
    workshop = settings.home / "backup-workshop"
    s3 = known.model_copy(update={"bucket": bucket, "underlay_bucket": ""})
    return Place(S3Store(s3, workshop), path, address, workshop)


def find_backup(settings: Settings, address: str) -> tuple[Place, Kept]:
    """Find a backup by the address of its dump.

    Raises
    ------
    BackupError
        It is not there, or not whole.
    """
    if not address.startswith(_S3):
        address = str(Path(address).expanduser().absolute())
    above, _, name = address.rpartition("/")
    place = open_place(settings, above)
    for kept in place.kept():
        if kept.address.rpartition("/")[2] == name:
            return place, kept
    raise BackupError(f"{address} is not there, or has no manifest beside it: it is no whole backup")


def _manifest_of(key: str) -> str:
    return f"{key.removesuffix('.dump')}.json"
