"""What the stages need of a store of files: put, look, fetch, list, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from fits_dagster.errors import FileError, TransientError
from fits_dagster.fits.names import fault_of_name, shown_name

__all__ = [
    "QUARANTINE_PATH",
    "ObjectInfo",
    "ObjectStore",
    "UnsafeNameError",
    "Wanted",
    "all_names",
    "check_key",
    "require_md5",
]

#: Tells whether files of a name are to be listed.
Wanted: TypeAlias = Callable[[str], bool]

#: Path under which stored files that were found bad are kept.
QUARANTINE_PATH = "quarantine"
#: Bytes of a key, as S3 allows.
_LONGEST_KEY = 1024


def all_names(_: str) -> bool:
    """Want files of any name."""
    return True


class UnsafeNameError(FileError):
    """The name would leave the store."""

    reason = "unsafe_name"


class ObjectInfo(NamedTuple):
    """What a store knows of one object without reading it."""

    key: str
    #: Bytes.
    size: int
    #: Time of the last change, UTC.
    modified: datetime
    #: MD5 of the stored bytes, where the store keeps one.
    md5: str | None
    #: Tag that the store itself has made of the bytes, where it makes one.
    tag: str | None = None
    #: Bucket that has it, where the store is of buckets.
    bucket: str = ""


class ObjectStore(Protocol):
    """A store of files under keys ``path/filename`` (``filename`` alone at the top)."""

    #: Whether modification times say something about the content (not so for S3).
    has_reliable_times: bool

    def put(
        self, source: Path, key: str, *, md5: str | None = None, move: bool = False, keep: bool = False
    ) -> ObjectInfo:
        """Store a file and verify it; replaces what is there in one step.

        Parameters
        ----------
        md5
            Of the source, where it is known; otherwise it is summed up on the way.
        move
            The source, which is durable, goes away.
        keep
            What was moved to another machine is kept here for `handed_on`.

        Returns
        -------
        ObjectInfo
            What is there now, with the MD5 of the bytes that were taken from the source.
        """
        ...

    def stat(self, key: str) -> ObjectInfo | None:
        """Look at an object; None when it is not there."""
        ...

    def local(self, key: str, *, verify: bool = True) -> AbstractContextManager[Path]:
        """Give the object as a local file for the time of the context; without ``verify`` as it is."""
        ...

    def handed_on(
        self,
        key: str,
        info: ObjectInfo | None = None,
        *,
        md5: str | None = None,
        verify: bool = True,
        keep: bool = False,
    ) -> AbstractContextManager[Path]:
        """Give the object as `local` does, to one of several stages that come one after the other.

        Parameters
        ----------
        info
            What `stat` has told of it, by whom that has just been asked.
        md5
            Of the stored bytes that are wanted: a copy of them that was kept will do, whatever is there now.
        verify
            See `local`. A copy that was kept has been verified.
        keep
            A copy that had to be made is kept for the next stage, unless the context ends by an error; who
            says so without ``verify`` has looked at its MD5.
        """
        ...

    def for_one_pass(self) -> ObjectStore:
        """Return this store for who goes once through all of it: what was `handed_on` leaves the memory."""
        ...

    def objects(self, path: str = "", *, wanted: Wanted = all_names) -> Iterator[ObjectInfo]:
        """List the objects directly under a path whose file names are wanted."""
        ...

    def paths(self) -> Iterator[str]:
        """List the paths under which objects may lie, the root (empty) first."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when it is not there."""
        ...


def require_md5(info: ObjectInfo, found: str) -> None:
    """Refuse bytes that are not those which the store promises, where it promises any.

    Raises
    ------
    TransientError
        The MD5 found is another one (reason ``checksum_mismatch``).
    """
    if info.md5 is not None and found != info.md5:
        raise TransientError(
            f"{info.key}: the bytes fetched are not those of its MD5 {info.md5}", reason="checksum_mismatch"
        )


def check_key(key: str) -> str:
    """Return the key, or refuse one that is absolute, climbs out, or has a part that is no safe name.

    Raises
    ------
    UnsafeNameError
        The key is not safe.
    """
    for part in key.split("/"):
        fault = "is empty" if not part else fault_of_name(part)
        if fault is not None:
            shown = shown_name(key)
            raise UnsafeNameError(f"unsafe name {shown[:200]!r}: {shown_name(part)[:60]!r} {fault}")
    if len(key.encode()) > _LONGEST_KEY:
        raise UnsafeNameError(f"name too long ({len(key.encode())} bytes): {key[:60]!r}…")
    return key
