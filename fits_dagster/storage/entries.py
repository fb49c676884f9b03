"""Entries of a directory that others write: looked at one by one, never followed, never waited for.

One entry never affects another: what cannot be looked at is an entry with its error. What is no regular file
(a FIFO, a socket, a device, a link) is named as such and never opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from fits_dagster.errors import FileError
from fits_dagster.fits.names import fault_of_name, shown_name

__all__ = ["Entry", "EntryError", "entries_of", "is_regular", "open_regular"]

_KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


class EntryError(FileError):
    """The entry is no regular file, or has no safe name."""

    reason = "not_a_file"


class Entry(NamedTuple):
    """One entry of a directory, as it was when the directory was listed."""

    #: As the operating system gives it.
    raw_name: str
    size: int = 0
    mtime_ns: int = 0
    #: Kind and permissions.
    mode: int = 0
    #: Why it could not be looked at now.
    error: OSError | None = None

    @property
    def name(self) -> str:
        """As it is shown and kept in the database; the name itself unless that has a fault."""
        return shown_name(self.raw_name)

    @property
    def fault(self) -> EntryError | None:
        """Why it can never be taken as it is."""
        return None if self.error is not None else _fault_of(self.raw_name, self.mode)

    @property
    def seen(self) -> tuple[int, int]:
        """Size and time: what changes when its content does."""
        return self.size, self.mtime_ns


def entries_of(
    directory: Path, *, wanted: Callable[[str], bool] = lambda _: True, links_in: Path | None = None
) -> Iterator[Entry]:
    """List a directory.

    Parameters
    ----------
    directory
        What it holds is looked at, not opened.
    wanted
        Keeps to the names for which it is true.
    links_in
        A directory; links that end at a regular file inside it are followed.

    Raises
    ------
    OSError
        The directory itself cannot be read.
    """
    root = None if links_in is None else os.path.realpath(links_in)
    with os.scandir(directory) as found:
        for one in found:
            if not wanted(one.name):
                continue
            try:
                looked_at = one.stat(follow_symlinks=False)
                if root is not None and stat.S_ISLNK(looked_at.st_mode):
                    looked_at = _behind_link(one.path, root, looked_at)
            except FileNotFoundError:
                continue
            except OSError as error:
                yield Entry(one.name, error=error)
                continue
            yield Entry(one.name, looked_at.st_size, looked_at.st_mtime_ns, looked_at.st_mode)


def is_regular(path: Path, *, links_in: Path | None = None) -> bool:
    """Tell whether a path is a regular file, not a link to one.

    Parameters
    ----------
    path
        The file.
    links_in
        A directory; a link that ends at a regular file inside it counts too.

    Raises
    ------
    OSError
        It cannot be looked at.
    """
    try:
        looked_at = path.lstat()
        if links_in is not None and stat.S_ISLNK(looked_at.st_mode):
            looked_at = _behind_link(str(path), os.path.realpath(links_in), looked_at)
        return stat.S_ISREG(looked_at.st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def open_regular(path: Path, *, links: bool = False) -> Iterator[FileIO]:
    """Open a regular file to read it, once; nothing else is ever opened, and no link is followed.

    Parameters
    ----------
    path
        The file.
    links
        Follow a link that ends at a regular file inside the directory of ``path``.

    Raises
    ------
    EntryError
        It is no regular file; the reason says what it is.
    OSError
        It is not there, or cannot be opened.
    """
    root = os.path.realpath(path.parent)
    looked_at = path.lstat()
    if links and stat.S_ISLNK(looked_at.st_mode):
        looked_at = _behind_link(str(path), root, looked_at)
    _refuse(path.name, looked_at.st_mode)
    # another process may have put something else in its place since
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            _refuse(path.name, stat.S_IFLNK)
        raise
    with os.fdopen(descriptor, "rb", buffering=0) as source:
        _refuse(path.name, os.fstat(descriptor).st_mode)
        if links and not _is_inside(os.path.realpath(f"/proc/self/fd/{descriptor}"), root):
            _refuse(path.name, stat.S_IFLNK)
        yield source


def _behind_link(path: str, root: str, link: os.stat_result) -> os.stat_result:
    """Look at the end of a link; at the link itself where it ends outside, nowhere, or in a circle."""
    if not _is_inside(os.path.realpath(path), root):
        return link
    try:
        return Path(path).stat()
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR):
            return link
        raise


def _is_inside(path: str, root: str) -> bool:
    return Path(path).is_relative_to(root) and path != root


def _refuse(name: str, mode: int) -> None:
    fault = _fault_of(name, mode)
    if fault is not None:
        raise fault


def _fault_of(name: str, mode: int) -> EntryError | None:
    if stat.S_ISREG(mode) and (unsafe := fault_of_name(name)) is None:
        return None
    shown = shown_name(name)
    if stat.S_ISDIR(mode):
        return EntryError(f"{shown} is a directory", reason="is_a_directory")
    if stat.S_ISLNK(mode):
        return EntryError(f"{shown} is a link, which is not followed", reason="is_a_link")
    if not stat.S_ISREG(mode):
        kind = next((text for is_kind, text in _KINDS if is_kind(mode)), "no regular file")
        return EntryError(f"{shown} is {kind}")
    return EntryError(f"{shown}: the name {unsafe}", reason="unsafe_name")
