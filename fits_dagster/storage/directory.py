"""A store in a directory: the dataflow directory of the summit, or the archive's without S3."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fits_dagster.errors import TransientError
from fits_dagster.fits.names import fault_of_name, shown_name
from fits_dagster.storage.base import ObjectInfo, Wanted, all_names, check_key
from fits_dagster.storage.entries import entries_of, is_regular
from fits_dagster.storage.landing import TEMPORARY_MARK, copy_hashed, fsync_directory, land, temporary_beside

__all__ = ["DirectoryStore"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The years 1000 and 9000, microseconds: beyond, times cannot be kept.
_FIRST_US, _LAST_US = -30_610_224_000_000_000, 221_845_392_000_999_999

log = logging.getLogger(__name__)


class DirectoryStore:
    """Files under a root directory. Writing is atomic: temporary name, fsync, rename, fsync."""

    has_reliable_times = True

    def __init__(self, root: Path, *, links: bool = False, one_pass: bool = False) -> None:
        self.root = root
        #: Where links may end.
        self._links_in = root if links else None
        self._is_one_pass = one_pass

    def path_of(self, key: str) -> Path:
        """Return the file of a key (which need not exist)."""
        return self.root / check_key(key)

    def put(
        self, source: Path, key: str, *, md5: str | None = None, move: bool = False, keep: bool = False
    ) -> ObjectInfo:
        """Store a file; with ``move`` it is renamed where that is possible, else copied.

        Raises
        ------
        TransientError
            The bytes that arrived have another MD5, or the source changed meanwhile (``checksum_mismatch``).
        """
        target = self.path_of(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        if move:
            try:
                source.replace(target)
                fsync_directory(target.parent)
                return self._info(key, target, md5)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
        temporary = temporary_beside(target)
        try:
            with source.open("rb") as reader, temporary.open("xb") as writer:
                before = os.fstat(reader.fileno())
                size, copied_md5 = copy_hashed(reader, writer)
                after = os.fstat(reader.fileno())
            if (size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise TransientError(f"{source} changed while it was copied", reason="checksum_mismatch")
            if md5 is not None and copied_md5 != md5:
                raise TransientError(
                    f"{key}: MD5 {copied_md5} of the stored copy is not {md5}", reason="checksum_mismatch"
                )
            land(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        if move:
            source.unlink(missing_ok=True)
        return self._info(key, target, copied_md5)

    def stat(self, key: str) -> ObjectInfo | None:
        """Look at a file; None when there is no regular file of that name."""
        path = self.path_of(key)
        try:
            if not is_regular(path, links_in=self._links_in):
                return None
            return self._info(key, path, None)
        except FileNotFoundError:
            return None

    @contextmanager
    def local(self, key: str, *, verify: bool = True) -> Iterator[Path]:
        """Give the file itself; it must not be changed."""
        path = self.path_of(key)
        if not is_regular(path, links_in=self._links_in):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield path

    @contextmanager
    def handed_on(
        self,
        key: str,
        info: ObjectInfo | None = None,
        *,
        md5: str | None = None,
        verify: bool = True,
        keep: bool = False,
    ) -> Iterator[Path]:
        """Give the file itself."""
        with self.local(key, verify=verify) as path:
            try:
                yield path
            finally:
                if self._is_one_pass and not keep:
                    _let_go(path)

    def for_one_pass(self) -> DirectoryStore:
        """Return this store for who goes once through all of it.

        A store is larger than the memory, where the database has better use for the room. And the memory
        that a file leaves is there for the next: on a virtual machine, to find other took as long as to read.
        """
        return DirectoryStore(self.root, links=self._links_in is not None, one_pass=True)

    def objects(self, path: str = "", *, wanted: Wanted = all_names) -> Iterator[ObjectInfo]:
        """List the regular files of one directory, without temporary ones; not recursive.

        Only files whose names are wanted are looked at.

        What is no regular file, or cannot be looked at now, is left out; a name that is not safe is listed
        as it is shown.
        """
        directory = self.root / check_key(path) if path else self.root
        if not directory.is_dir():
            return
        found = entries_of(
            directory,
            wanted=lambda name: TEMPORARY_MARK not in name and wanted(shown_name(name)),
            links_in=self._links_in,
        )
        for entry in found:
            if entry.error is not None:
                log.warning("%s in %s cannot be looked at: %s", entry.name, directory, entry.error)
                continue
            fault = entry.fault
            if fault is not None and fault.reason != "unsafe_name":
                continue
            name = entry.raw_name if fault is None else entry.name
            yield ObjectInfo(f"{path}/{name}" if path else name, entry.size, _utc(entry.mtime_ns), None)

    def paths(self) -> Iterator[str]:
        """List the directories, without temporary ones and without following links."""
        for place, directories, _ in os.walk(self.root):
            directories[:] = sorted(
                name for name in directories if TEMPORARY_MARK not in name and fault_of_name(name) is None
            )
            path = Path(place).relative_to(self.root).as_posix()
            yield "" if path == "." else path

    def delete(self, key: str) -> None:
        """Remove a file."""
        self.path_of(key).unlink(missing_ok=True)

    def _info(self, key: str, path: Path, md5: str | None) -> ObjectInfo:
        stat = path.stat()
        return ObjectInfo(key, stat.st_size, _utc(stat.st_mtime_ns), md5)


def _let_go(path: Path) -> None:
    """Tell the system that what it has of a file in memory is not needed again."""
    if sys.platform == "linux":
        with suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _utc(mtime_ns: int) -> datetime:
    """Return a file time as the database keeps it: UTC, whole microseconds, within its years."""
    return _EPOCH + timedelta(microseconds=min(max(mtime_ns // 1000, _FIRST_US), _LAST_US))
