"""Processes that share work on this machine: forks of this one that end by themselves, or when told."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from typing import Any, Final

__all__ = ["start_fork"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def start_fork(target: Callable[..., None], *arguments: Any) -> ForkProcess:
    """Start a process that has all modules of this one; no connection of this one may be open.

    SIGTERM ends it, what it has in hand is released; Ctrl-C is its parent's to hear of. No signal reaches it
    before it is ready for one: the handlers of this process would make it go on as if it were this process.
    """
    process = multiprocessing.get_context("fork").Process(target=_run, args=(target, arguments))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _run(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    target(*arguments)
