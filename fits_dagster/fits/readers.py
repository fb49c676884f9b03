"""The child processes of `fits_dagster.fits.guarded`: started when needed, and kept from file to file."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final

import psutil

__all__ = ["LONGEST_PATIENCE", "READERS", "Reader", "Readers"]

_MEMORY: Final = 4 << 30
#: Seconds for the child to begin: the first call imports what it needs.
_START_SECONDS: Final = 60.0
#: So many times its patience, at most, for a child on a machine that has no processor to spare.
LONGEST_PATIENCE: Final = 20
#: Calls at once, where nobody has said how many.
_NO_LIMIT: Final = 1 << 30
_JOIN_S: Final = 5.0
#: For one that is to end by itself.
_LAST_WORDS_S: Final = 0.1
_READING: Final = "reading"
#: What is freed is kept for the next file, up to so much: else each array is made of pages that the kernel
#: has to clear first, which took a third of the time of a preview. It is the most that the C library takes.
_KEPT_BYTES: Final = 32 << 20
_ENVIRONMENT: Final[Mapping[str, str]] = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(_KEPT_BYTES),
}


class Reader:
    """One child process and the connection to it."""

    def __init__(self, memory: int) -> None:
        ours, theirs = Pipe()
        self._connection: Connection[bytes, bytes] = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fits_dagster.fits.guarded_worker", str(theirs.fileno()), str(memory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, **_ENVIRONMENT},
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
        for _ in range(LONGEST_PATIENCE):
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

    def hang_up(self) -> None:
        """Let it end by itself: nothing more will be asked."""
        self._connection.close()

    def end(self) -> None:
        """End the process, whatever it does."""
        self.hang_up()
        try:
            self._process.wait(0 if self._is_new else _LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Readers:
    """Children that nobody has asked anything now; may be used by several threads at once.

    Parameters
    ----------
    memory : int
        Limit of the address space of a child, bytes.
    """

    def __init__(self, memory: int = _MEMORY) -> None:
        self.memory = memory
        self._lock = threading.Lock()
        self._idle: list[Reader] = []
        self._closed = False
        self._turns = threading.Semaphore(_NO_LIMIT)

    def share(self, number: int) -> None:
        """Let so many calls go on at once from now on, no more; others wait for their turn."""
        self._turns = threading.Semaphore(number)

    def begin(self) -> None:
        """Start a child, so that the first call finds one; returns at once."""
        with self._lock:
            if not self._idle:
                self._idle.append(Reader(self.memory))

    def take(self) -> Reader:
        """Return a child that lives, a new one if none is idle; it must be given back."""
        self._turns.acquire()
        try:
            with self._lock:
                while self._idle:
                    child = self._idle.pop()
                    if child.is_alive:
                        return child
                    child.end()
            return Reader(self.memory)
        except BaseException:
            self._turns.release()
            raise

    def give_back(self, child: Reader, *, is_well: bool) -> None:
        """Keep a child for the next call; one that is not well is ended."""
        try:
            with self._lock:
                if is_well and not self._closed:
                    self._idle.append(child)
                    return
            child.end()
        finally:
            # whoever waits for a turn finds the child idle, and starts no other
            self._turns.release()

    def end_idle(self) -> None:
        """End the children that are idle; a further call starts another."""
        with self._lock:
            children, self._idle = self._idle, []
        for child in children:
            child.hang_up()
        for child in children:
            child.end()

    def close(self) -> None:
        """End all children that are idle; one that is at work ends after its call."""
        self._closed = True
        self.end_idle()


#: Those of all stages of this process: one that has read a file's headers draws its preview as well.
READERS: Final = Readers()
