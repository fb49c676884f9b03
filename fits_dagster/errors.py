"""Errors that a stage can report about one file: a reason code, and whether trying again can help.

The default message of each class is its docstring. Reason codes appear on the queue status page, in the
failed run's table and in ``docs/operations.md``.
"""

from __future__ import annotations

import errno
import sys
import traceback
from enum import Enum

from fits_dagster.fits.opening import NotAFileError

__all__ = ["DataflowError", "FileError", "LeaseLostError", "Retry", "TransientError", "describe_error"]


class Retry(Enum):
    """Whether an error is worth another attempt."""

    NEVER = "never"
    BACKOFF = "backoff"


class DataflowError(Exception):
    """The work on a file failed."""

    reason = "failed"
    retry = Retry.NEVER

    def __init__(self, message: str = "", *, reason: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        if reason is not None:
            self.reason = reason


class FileError(DataflowError):
    """The file itself is at fault: the same bytes will fail again."""

    reason = "bad_file"


class TransientError(DataflowError):
    """Something around the file is at fault and may mend: the network, a disk, a partner."""

    reason = "unavailable"
    retry = Retry.BACKOFF


class LeaseLostError(DataflowError):
    """The lease ran out and the work was given to another worker; nothing was written."""

    reason = "lease_lost"
    retry = Retry.BACKOFF


_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_MOUNT = {
    errno.ESTALE,
    errno.EIO,
    errno.EREMOTEIO,
    errno.EROFS,
    errno.ETIMEDOUT,
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENODEV,
    errno.ENOLCK,
    errno.ENOMEM,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
}


def describe_error(error: BaseException) -> tuple[str, Retry, str, str]:
    """Classify any exception.

    Returns
    -------
    tuple
        Reason code, retry class, one line of text, traceback text.
    """
    trace = _storable("".join(traceback.format_exception(error)))
    line = _storable(" ".join(str(error).split()) or type(error).__name__)[:2000]
    reason, retry = _classify(error)
    if not isinstance(error, DataflowError):
        line = f"{type(error).__name__}: {line}"
    return reason, retry, line, trace


def _storable(text: str) -> str:
    """Return text as a database takes it: names of files may hold bytes that are no UTF-8."""
    return text.replace("\x00", "").encode("utf-8", "backslashreplace").decode()


def _is_of(error: BaseException, module: str, name: str) -> bool:
    """Tell whether an error is of a class of a module; only who has imported that can raise it."""
    return module in sys.modules and isinstance(error, getattr(sys.modules[module], name))


def _classify(error: BaseException) -> tuple[str, Retry]:
    if isinstance(error, DataflowError):
        return error.reason, error.retry
    if _is_of(error, "fits_dagster.fits.guarded", "ReaderEndedError"):
        return "reader_ended", Retry.BACKOFF
    if isinstance(error, FileNotFoundError):
        return "file_vanished", Retry.NEVER
    if _is_of(error, "requests", "RequestException"):
        return "network", Retry.BACKOFF
    if _is_of(error, "sqlalchemy.exc", "OperationalError") or getattr(error, "connection_invalidated", False):
        return "database_unavailable", Retry.BACKOFF
    if isinstance(error, NotAFileError):
        return "not_a_file", Retry.NEVER
    if isinstance(error, IsADirectoryError):
        return "is_a_directory", Retry.NEVER
    if isinstance(error, PermissionError):
        return "permission_denied", Retry.BACKOFF
    if isinstance(error, OSError):
        if error.errno in _DISK_FULL:
            return "disk_full", Retry.BACKOFF
        if error.errno in _MOUNT:
            return "disk_unavailable", Retry.BACKOFF
    if isinstance(error, MemoryError):
        return "out_of_memory", Retry.NEVER
    return "internal_error", Retry.NEVER
