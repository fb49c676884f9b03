"""Child processes that are kept running, and ended for certain."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

__all__ = ["ChildProcess", "Supervisor", "end_processes", "processes_with"]

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
#: A process that has run this long starts over with the first pause when it dies.
_STEADY_S = 60.0


@dataclass
class ChildProcess:
    """One program: how it is started, and the process that runs it now."""

    name: str
    command: Sequence[str]
    log_file: Path
    environment: Mapping[str, str]
    #: Whether what it started ends by itself, in good order, when it dies.
    leaves_family: bool = False
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    not_before: float = 0.0
    pause: float = field(default=_FIRST_PAUSE_S)

    def start(self) -> None:
        """Start the program in a session of its own, so that all it starts can be ended with it."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            self.process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                start_new_session=True,
            )
        self.started = time.monotonic()

    @property
    def is_running(self) -> bool:
        """Whether the program runs."""
        return self.process is not None and self.process.poll() is None

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the program and to everything it started."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def family(self) -> list[psutil.Process]:
        """Return the program and all its descendants that are alive."""
        if self.process is None:
            return []
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


class Supervisor:
    """Keeps programs running in the order given; ends them in the reverse order."""

    def __init__(self) -> None:
        self.children: list[ChildProcess] = []

    def add(self, child: ChildProcess) -> None:
        """Start a program and keep it running from now on."""
        child.start()
        log.info("started %s (process %d)", child.name, child.process.pid if child.process else 0)
        self.children.append(child)

    def look(self) -> list[str]:
        """Start again what has died; returns the names of what was restarted just now."""
        restarted = []
        now = time.monotonic()
        for child in self.children:
            if child.is_running:
                if now - child.started > _STEADY_S:
                    child.pause = _FIRST_PAUSE_S
                continue
            if child.not_before == 0.0:
                code = child.process.returncode if child.process else None
                log.error(
                    "%s ended with status %s; starting it again in %.0f s (its output: %s)",
                    child.name,
                    code,
                    child.pause,
                    child.log_file,
                )
                child.not_before = now + child.pause
                child.pause = min(child.pause * 2, _LONGEST_PAUSE_S)
            if now >= child.not_before:
                # what the dead one left running would stand in the way of the new one
                child.signal_group(signal.SIGTERM if child.leaves_family else signal.SIGKILL)
                child.not_before = 0.0
                child.restarts += 1
                child.start()
                restarted.append(child.name)
        return restarted

    def stop(self, *names: str, patience: float = 10.0) -> None:
        """End programs with everything they started: politely, then for certain.

        Parameters
        ----------
        *names
            Which ones; by default all, the last started first.
        patience
            Seconds between asking and killing.
        """
        ending = [c for c in reversed(self.children) if not names or c.name in names]
        families = [process for child in ending for process in child.family()]
        for child in ending:
            child.signal_group(signal.SIGTERM)
        _see_ended(families, patience)
        for child in ending:
            child.signal_group(signal.SIGKILL)
            if child.process is not None:
                child.process.wait()
            self.children.remove(child)


def processes_with(variable: str, value: str) -> list[psutil.Process]:
    """Return the processes that were started with a variable of the environment set to a value.

    Those of other users, whose environment is not ours to read, are not among them, nor is this process.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(variable) == value:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_processes(processes: Sequence[psutil.Process], *, patience: float = 10.0) -> None:
    """End processes: politely, and for certain those that are still there after some seconds."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _see_ended(processes, patience)


def _see_ended(processes: Sequence[psutil.Process], patience: float) -> None:
    """Wait for processes that were asked to end, and kill those that do not."""
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
