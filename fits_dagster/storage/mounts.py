"""Questions to a file system whose mount may hang: answered in time, or told as an error.

A thread that waits in the kernel cannot be ended, and takes nobody along: it is left behind, one for each
question. Who asks the same again waits for the answer that is on its way, so a mount that is merely slow is
heard in the end.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLateError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

__all__ = ["ANSWER_S", "DiskFigures", "SilentMountError", "answer_within", "disk_figures"]

Answer = TypeVar("Answer")
#: Seconds after which a file system hangs, as far as those are concerned who have other things to do.
ANSWER_S: Final = 10.0


class SilentMountError(OSError):
    """The file system does not answer."""


@dataclass(frozen=True)
class DiskFigures:
    """Bytes of a file system."""

    size: int
    free: int


@dataclass
class _Asked:
    answer: Future[Any] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


_asked: dict[Hashable, _Asked] = {}
_lock = threading.Lock()


def answer_within(seconds: float, directory: Path, what: str, question: Callable[[], Answer]) -> Answer:
    """Ask something of a file system.

    Parameters
    ----------
    seconds
        Longest wait for the answer.
    directory
        Where it is asked.
    what
        Name of the question: the same question about a directory is asked by one thread at a time.
    question
        Asks it.

    Raises
    ------
    SilentMountError
        There is no answer yet.
    OSError
        The answer.
    """
    key = (os.getpid(), str(directory), what)
    with _lock:
        asked = _asked.get(key)
        if asked is None:
            asked = _asked[key] = _Asked()
            # a daemon: the process can end although the thread cannot
            threading.Thread(
                target=_ask, args=(asked, question), name=f"{what} {directory}", daemon=True
            ).start()
    try:
        answer: Answer = asked.answer.result(seconds)
    except TooLateError:
        if not asked.answer.done():
            silent = f"has not answered for {time.monotonic() - asked.since:.0f} s; is its server away?"
            raise SilentMountError(errno.ETIMEDOUT, silent, str(directory)) from None
        raise
    finally:
        if asked.answer.done():
            with _lock:
                if _asked.get(key) is asked:
                    del _asked[key]
    return answer


def disk_figures(directory: Path, *, seconds: float | None = None) -> DiskFigures:
    """Return how large the file system of a directory is, and how much of it is free.

    Parameters
    ----------
    seconds
        Longest wait; by default :data:`ANSWER_S`.

    Raises
    ------
    OSError
        It cannot be read, or does not answer in time.
    """

    def look() -> DiskFigures:
        # reading the directory wakes an automounter; the figures of an unmounted directory mean nothing
        with os.scandir(directory) as entries:
            next(entries, None)
        usage = shutil.disk_usage(directory)
        return DiskFigures(usage.total, usage.free)

    return answer_within(ANSWER_S if seconds is None else seconds, directory, "disk figures", look)


def _ask(asked: _Asked, question: Callable[[], Any]) -> None:
    try:
        asked.answer.set_result(question())
    except BaseException as error:  # whoever waits is to hear of it
        asked.answer.set_exception(error)
