"""Store: from upload staging to the object store, verified, then on to ingest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from fits_dagster.errors import FileError
from fits_dagster.ledger.items import CONTENT, NewWork, WorkItem
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.ledger.stage import Committed, Stage
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site
from fits_dagster.storage.landing import md5_of

__all__ = ["STAGE", "StoreStage"]


@dataclass(frozen=True)
class _Stored:
    size: int
    #: Staging files that are no longer needed: this one, and earlier uploads of the same name.
    leftovers: Sequence[Path]


class StoreStage(Stage[_Stored]):
    """Upload staging -> object store (S3 or a directory)."""

    name = "store"
    title = "Store"
    tab = "sq"
    asset = "stored_files"
    asset_description = "Files of the night in the archive's object store, with their MD5 as metadata."
    sent_by = "export"
    sensor = "uploaded_files"
    sensor_description = "Files received over HTTP that wait to be stored."
    words = "the store"
    duty = "stores uploaded files"
    services = ("ingest_uploaded_file",)
    subject = None
    takes_in = True
    figures: Mapping[str, Sequence[str]] = {"stored": ()}

    def is_part_of(self, site: SiteSettings) -> bool:
        """Where files are uploaded to."""
        return site.receives_uploads

    def prepare(
        self, site: Site, connection: Connection, items: Sequence[WorkItem]
    ) -> Mapping[int, Sequence[str]]:
        """Look for earlier uploads of the same names that this one overtook while they waited."""
        return {
            item.id: connection.scalars(
                LEDGER["overtaken_uploads"],
                {"filename": item.filename, "path": item.path, "id": item.subject_id},
            ).all()
            for item in items
        }

    def work(self, site: Site, item: WorkItem, known: Sequence[str]) -> _Stored:
        """Put the staged file into the store under its key, with its MD5, and verify it there.

        Raises
        ------
        FileError
            The staged file is gone and the store does not have its content (``staged_file_missing``), or
            its bytes are not those that were received (``checksum_mismatch``).
        TransientError
            The store did not take it.
        """
        assert site.settings.staging_directory is not None
        directory = site.settings.staging_directory / "uploads"
        staged = directory / str(item.payload["staged_name"])
        md5, size = str(item.payload["md5"]), int(item.payload["size"])
        if staged.is_file():
            actual = md5_of(staged)
            if actual != md5:
                raise FileError(
                    f"{item.key}: MD5 {actual} of the staged file is not {md5}", reason="checksum_mismatch"
                )
            site.store.put(staged, item.key, md5=md5, move=True, keep=True)
        elif not _is_stored(site, item.key, size, md5):
            raise FileError(
                f"{item.key}: the staged file {staged.name} is gone", reason="staged_file_missing"
            )
        return _Stored(size, [staged, *(directory / name for name in known)])

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: _Stored) -> Committed:
        """Note when it was stored and queue its ingest."""
        connection.execute(
            LEDGER["uploads_stored"],
            {"filename": item.filename, "path": item.path, "id": item.subject_id},
        )
        return Committed(
            "stored",
            follow_ups=[
                NewWork(
                    stage="ingest",
                    path=item.path,
                    filename=item.filename,
                    priority=item.priority,
                    no_defer=True,
                    payload={CONTENT: item.content} if item.content else {},
                )
            ],
            size=result.size,
            content=item.content,
        )

    def after_commit(self, site: Site, item: WorkItem, result: _Stored) -> None:
        """Remove the staged file, now that the store and the database have everything."""
        for path in result.leftovers:
            path.unlink(missing_ok=True)


def _is_stored(site: Site, key: str, size: int, md5: str) -> bool:
    info = site.store.stat(key)
    if info is None or info.size != size:
        return False
    if info.md5 is not None:
        return info.md5 == md5
    with site.store.local(key) as path:
        return md5_of(path) == md5


STAGE = StoreStage()
