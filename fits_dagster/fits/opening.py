"""Opening files to read them: only what is a regular file, and never waiting for a writer."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path

__all__ = ["NotAFileError", "opened"]


class NotAFileError(OSError):
    """It is no regular file: a FIFO, a socket or a device."""


def opened(path: Path) -> FileIO:
    """Open a regular file, unbuffered.

    Raises
    ------
    NotAFileError
        It is something else.
    OSError
        It cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise NotAFileError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb", buffering=0)
