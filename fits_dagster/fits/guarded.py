"""A guard round the reading of files: what crashes, hangs or eats memory takes nobody along.

Work on a file is done in a child process with limits of time and memory. A child is kept and used again, so
the usual file costs the sending of its result; one that dies is replaced, and the next file goes on.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import psutil

__all__ = ["Guard", "ParserError", "ReaderEndedError", "inspect_guarded"]

_T = TypeVar("_T")

#: Seconds for any file, and bytes a second that the slowest disk gives.
_SECONDS: Final = 60.0
_SLOWEST_BYTES_PER_S: Final = 2e6
_MEMORY: Final = 4 << 30
#: Seconds for the child to begin: the first call imports what it needs.
_START_SECONDS: Final = 60.0
#: The child's own alarm rings a little after the parent's patience has ended.
_ALARM_AFTER_S: Final = 5.0
#: So many times its patience, at most, for a child on a machine that has no processor to spare.
_EXTENSIONS: Final = 20
_JOIN_S: Final = 5.0
_READING: Final = "reading"
_FROM_OUTSIDE: Final = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"})


class ParserError(Exception):
    """The reading of a file did not end well: ``parser_crash`` or ``parser_timeout``."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ReaderEndedError(ParserError):
    """The reading was broken off from outside, ``reader_ended``: no fault of the file, worth another go."""


class Guard:
    """Child processes for work that may go wrong badly; may be used by several threads at once.

    Parameters
    ----------
    seconds : float
        Time for one call.
    memory : int
        Limit of the address space of a child, bytes.
    error : callable
        Makes the exception for a crash or a time-out of ``(message, reason=...)``.
    ended : callable
        Likewise for a child that was ended from outside; by default that is worth another attempt.
    """

    def __init__(
        self,
        *,
        seconds: float = _SECONDS,
        memory: int = _MEMORY,
        error: Callable[..., Exception] = ParserError,
        ended: Callable[..., Exception] = ReaderEndedError,
    ) -> None:
        self.seconds = seconds
        self.memory = memory
        self._error = error
        self._ended = ended
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._closed = False

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, function: Callable[..., _T], *arguments: Any, seconds: float | None = None) -> _T:
        """Call a function in a child process.

        Parameters
        ----------
        function : callable
            Found by its module and name; arguments and result must be picklable.
        seconds : float, optional
            Time for this call instead of the usual.

        Returns
        -------
        object
            What the function returned.

        Raises
        ------
        ParserError
            The child died (``parser_crash``), ran out of memory (``parser_crash``) or of time
            (``parser_timeout``). The class is that of the guard.
        ReaderEndedError
            The child was ended from outside (``reader_ended``).
        Exception
            What the function raised, with the child's traceback as a note.
        """
        patience = self.seconds if seconds is None else seconds
        alarm = patience * _EXTENSIONS + _ALARM_AFTER_S
        request = pickle.dumps((function, arguments, alarm), pickle.HIGHEST_PROTOCOL)
        child = self._take()
        is_well = False
        try:
            is_error, value, trace = child.ask(request, patience)
            is_well = True
        except TimeoutError:
            raise self._error(
                f"{child.doing} did not end within {patience:.0f} s", reason="parser_timeout"
            ) from None
        except (EOFError, ConnectionError):
            end = child.obituary()
            if end in _FROM_OUTSIDE:
                # no decoder ends itself so: the kernel was short of memory, or somebody ended it
                raise self._ended(
                    f"{child.doing} was broken off: its process was ended by {end}", reason="reader_ended"
                ) from None
            raise self._error(f"{child.doing} crashed: {end}", reason="parser_crash") from None
        finally:
            self._give_back(child, is_well)
        if not is_error:
            result: _T = value
            return result
        if isinstance(value, MemoryError):
            limit = self.memory >> 20
            raise self._error(f"reading needs more than {limit} MiB of memory", reason="parser_crash")
        if not isinstance(value, Exception):
            raise self._error(f"reading ended with {value!r}", reason="parser_crash")
        value.add_note(f"in the child process:\n{trace}")
        raise value

    def begin(self) -> None:
        """Start a child, so that the first call finds one; returns at once."""
        with self._lock:
            if not self._idle:
                self._idle.append(_Child(self.memory))

    def end_idle(self) -> None:
        """End the children that are idle; a further call starts another."""
        with self._lock:
            children, self._idle = self._idle, []
        for child in children:
            child.end()

    def close(self) -> None:
        """End all children that are idle; one that is at work ends after its call."""
        self._closed = True
        self.end_idle()

    def _take(self) -> _Child:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.is_alive:
                    return child
                child.end()
        return _Child(self.memory)

    def _give_back(self, child: _Child, is_well: bool) -> None:
        with self._lock:
            if is_well and not self._closed:
                self._idle.append(child)
                return
        child.end()


class _Child:
    """One child process and the connection to it."""

    def __init__(self, memory: int) -> None:
        ours, theirs = Pipe()
        self._connection: Connection[bytes, bytes] = ours
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fits_dagster.fits.guarded_worker", str(theirs.fileno()), str(memory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=environment,
        )
        theirs.close()
        # one that has died keeps its number until it is waited for
        self._seen = psutil.Process(self._process.pid)
        self._is_new = True
        #: What it is at, as far as it has told.
        self.doing = _READING

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ask(self, request: bytes, seconds: float) -> tuple[bool, Any, str]:
        """Send a request and wait for the answer.

        Raises
        ------
        TimeoutError
            None came in time.
        EOFError, ConnectionError
            The child died.
        """
        patience = seconds + (_START_SECONDS if self._is_new else 0.0)
        self.doing = _READING
        self._connection.send_bytes(request)
        for _ in range(_EXTENSIONS):
            worked = self._worked_s()
            deadline = time.monotonic() + patience
            while self._connection.poll(max(0.0, deadline - time.monotonic())):
                answer: str | tuple[bool, Any, str] = pickle.loads(self._connection.recv_bytes())  # noqa: S301 - of our own child
                self._is_new = False
                if not isinstance(answer, str):
                    return answer
                self.doing = answer
            if not self._is_starved(patience, worked):
                break
        raise TimeoutError

    def _worked_s(self) -> float:
        """Return the processor time that the child has had, seconds."""
        try:
            times = self._seen.cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def _is_starved(self, patience: float, worked: float) -> bool:
        """Tell whether the child would work and had hardly a processor, or was stopped: that is no hang."""
        try:
            state = self._seen.status()
        except psutil.Error:
            return False
        wants = state in (psutil.STATUS_RUNNING, psutil.STATUS_STOPPED)
        return wants and self._worked_s() - worked < patience / 2

    def obituary(self) -> str:
        """Tell how the child ended."""
        try:
            status = self._process.wait(_JOIN_S)
        except subprocess.TimeoutExpired:
            return "it does not answer"
        if status >= 0:
            return f"exit status {status}"
        return signal.Signals(-status).name

    def end(self) -> None:
        """End the process, whatever it does."""
        self._connection.close()
        try:
            self._process.wait(0 if self._is_new else 0.1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def inspect_guarded(guard: Guard, observe: Callable[..., _T], path: Path, *arguments: Any) -> _T:
    """Read a file under a guard, with time by its size.

    Parameters
    ----------
    guard : Guard
        Kept from file to file.
    observe : callable
        Called in the child as ``observe(path, *arguments)``; its result is returned.
    path : Path
        The file.

    Raises
    ------
    ParserError
        See `Guard.call`.
    OSError
        The file is not there.
    """
    seconds = guard.seconds + path.stat().st_size / _SLOWEST_BYTES_PER_S
    return guard.call(observe, path, *arguments, seconds=seconds)
