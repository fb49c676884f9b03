"""Processes that share work on this machine: forks of this one that end by themselves, or when told."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable
from multiprocessing.context import ForkProcess
from typing import Any, Final

from fits_dagster.ledger.items import owner_of

__all__ = ["killed", "start_fork"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def start_fork(target: Callable[..., None], *arguments: Any) -> ForkProcess:
    """Start a process that has all modules of this one; no connection of this one may be open.

    SIGTERM ends it, what it has in hand is released; Ctrl-C is its parent's to hear of. No signal reaches it
    before it is ready for one: the handlers of this process would make it go on as if it were this process.
    """
    process = multiprocessing.get_context("fork").Process(target=_run, args=(target, arguments))
    # what is there is shared with it, and stays: no collection need look through it and make it a copy
    gc.freeze()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def killed(processes: Iterable[ForkProcess]) -> list[str]:
    """Return the owners of leases among processes that a signal has ended: what they held is nobody's."""
    ended = [each for each in processes if each.exitcode is not None and each.exitcode < 0]
    return [owner_of(each.pid) for each in ended if each.pid is not None]


def _run(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    target(*arguments)
