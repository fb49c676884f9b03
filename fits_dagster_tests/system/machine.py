"""Taking the processor away from processes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

from benchmarks.hosts import processor_group

_PERIOD_S = 1.0


@contextmanager
def share_of_a_processor(processes: Sequence[psutil.Process], share: float) -> Iterator[None]:
    """Let processes, and what they start, have no more than a share of one processor together.

    By a control group; where there can be none, by stopping them for most of each second.
    """
    try:
        with processor_group("fits-dagster-tests", share) as group:
            home = group.parent / "cgroup.procs"
            for process in processes:
                with suppress(OSError):
                    (group / "cgroup.procs").write_text(str(process.pid))
            try:
                yield
            finally:
                for pid in (group / "cgroup.procs").read_text().split():
                    with suppress(OSError):
                        home.write_text(pid)
        return
    except OSError:
        pass
    over = threading.Event()

    def stop_and_go() -> None:
        while not over.is_set():
            _send(processes, signal.SIGSTOP)
            over.wait(_PERIOD_S * (1 - share))
            _send(processes, signal.SIGCONT)
            over.wait(_PERIOD_S * share)

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
