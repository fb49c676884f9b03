"""Receive: an upload becomes durable, with the work that follows, before it is acknowledged.

The HTTP side (:mod:`fits_dagster.web.upload`) feeds the bytes; here they get a unique staging name, are
synced to disk, and their row is committed together with the ``store`` work item. Only then is the answer
given.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from sqlalchemy import Connection

from fits_dagster.errors import DataflowError, Retry
from fits_dagster.fits.names import last_bytes, trimmed
from fits_dagster.ledger.items import CONTENT, NewWork, add_work
from fits_dagster.ledger.tables import upload
from fits_dagster.nights import FileKey
from fits_dagster.records.files import insert_row
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site
from fits_dagster.storage import QUARANTINE_PATH, check_key
from fits_dagster.storage.landing import TEMPORARY_MARK, fsync_directory

__all__ = ["Received", "Reception", "ReservedPathError", "StagingFullError", "UploadTooLargeError"]

#: Bytes of the uploaded name that the staged name ends with.
_STAGED_SUFFIX_BYTES: Final = 120

PROCESSED_CALIBRATION_PATH = "processed_cals"
#: Free space is looked at again when half of it has come, or so much.
_LOOK_BYTES = 1 << 26


class StagingFullError(DataflowError):
    """The staging disk has too little free space."""

    reason = "disk_full"
    retry = Retry.BACKOFF


class UploadTooLargeError(DataflowError):
    """The upload is larger than this server takes."""

    reason = "too_large"


class ReservedPathError(DataflowError):
    """The path holds what this server makes itself; nothing is uploaded there."""

    reason = "reserved_path"


@dataclass(frozen=True)
class Received:
    """An upload that is durable."""

    filename: str
    path: str
    size: int
    md5: str
    #: MD5 of the uncompressed data, as far as it is known.
    content: str = ""


class Reception:
    """One upload on its way in. Feed it with :meth:`write`; end it with :meth:`finish` or :meth:`discard`."""

    def __init__(self, site: Site, path: str, filename: str) -> None:
        """Open the staging file.

        Raises
        ------
        UnsafeNameError
            The name or the path would leave the staging directory.
        ReservedPathError
            Previews, or files that were found bad, are kept there.
        StagingFullError
            There is no room.
        OSError
            The staging file cannot be written.
        """
        check_key(str(FileKey(path, filename)))
        # of the name, too: a directory of that name is no file
        place = f"{path}/{filename}/".casefold().lstrip("/")
        for reserved in (site.settings.preview_path.strip("/"), QUARANTINE_PATH):
            if place.startswith(f"{reserved}/".casefold()):
                raise ReservedPathError
        assert site.settings.staging_directory is not None
        self._site = site
        self._path, self._filename = path, filename
        self._directory = site.settings.staging_directory / "uploads"
        self._directory.mkdir(parents=True, exist_ok=True)
        self.size = 0
        self._look_again_at = 0
        self._require_room()
        # the staged name ends as the file does, so that it is read as what it is
        suffix = last_bytes(filename, _STAGED_SUFFIX_BYTES)
        self._name = f"{secrets.token_hex(10)}-{suffix}"
        self._temporary = self._directory / f"{TEMPORARY_MARK}{self._name}"
        self._stream: BinaryIO = self._temporary.open("xb")
        self._digest = hashlib.md5(usedforsecurity=False)
        self._started = datetime.now(UTC)

    @property
    def staged(self) -> Path:
        """Where the complete upload lies."""
        return self._directory / self._name

    def _require_room(self) -> None:
        free = shutil.disk_usage(self._directory).free
        spare = free - self._site.settings.min_free_bytes
        if spare < 0:
            raise StagingFullError(f"only {free / 1e6:.0f} MB free in the staging directory")
        self._look_again_at = self.size + min(spare // 2, _LOOK_BYTES)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        UploadTooLargeError
            More than the site takes.
        StagingFullError
            The room ends while they come.
        """
        if self.size + len(chunk) > self._look_again_at:
            self._require_room()
        self.size += len(chunk)
        if self.size > self._site.settings.max_upload_bytes:
            raise UploadTooLargeError(
                f"{self._filename}: more than {self._site.settings.max_upload_bytes} bytes"
            )
        self._digest.update(chunk)
        self._stream.write(chunk)

    def finish(
        self,
        *,
        batch: str | None = None,
        remote_address: str | None = None,
        content: str = "",
        check: Callable[[Connection], object] = lambda _: None,
    ) -> Received:
        """Make the upload durable: sync, rename, and commit its row with the work that follows.

        Parameters
        ----------
        content
            MD5 of the uncompressed data as the sender says, for log lines. Where nothing is compressed it is
            that of the bytes.
        check
            Looks, in the transaction, whether it is still wanted, and raises if it is not; no other upload
            of the same file becomes durable between.
        """
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._temporary.replace(self.staged)
        fsync_directory(self._directory)
        md5 = self._digest.hexdigest()
        if trimmed(self._filename) == self._filename:
            content = md5
        received = Received(self._filename, self._path, self.size, md5, content)
        with self._site.engine.begin() as connection:
            _lock_uploads_of(connection, self._path, trimmed(self._filename))
            try:
                check(connection)
            except Exception:
                self.staged.unlink(missing_ok=True)
                raise
            upload_id = insert_row(
                connection,
                upload,
                {
                    "filename": received.filename,
                    "path": received.path,
                    "staged_name": self._name,
                    "size": received.size,
                    "md5": received.md5,
                    "batch": batch,
                    "remote_address": remote_address,
                    "started_at": self._started,
                },
            )
            add_work(
                connection,
                [
                    NewWork(
                        stage="store",
                        path=received.path,
                        filename=received.filename,
                        subject_id=upload_id,
                        payload={
                            "staged_name": self._name,
                            "md5": received.md5,
                            "size": received.size,
                            # of this upload, or of none: what waits is merged
                            CONTENT: received.content,
                        },
                    )
                ],
            )
        return received

    def discard(self) -> None:
        """Throw away what has come (the client went away, or the upload was refused)."""
        self._stream.close()
        self._temporary.unlink(missing_ok=True)


def _lock_uploads_of(connection: Connection, path: str, name: str) -> None:
    """Let the uploads of one file become durable one after the other, until the transaction ends."""
    connection.execute(RECORDS["lock_uploads_of"], {"key": f"upload {path}/{name}"})
