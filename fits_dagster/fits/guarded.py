"""A guard round the reading of files: what crashes, hangs or eats memory takes nobody along.

Work on a file is done in a child process with limits of time and memory. A child is kept and used again, so
the usual file costs the sending of its result; one that dies is replaced, and the next file goes on.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from .readers import LONGEST_PATIENCE, Readers

__all__ = ["Guard", "ParserError", "ReaderEndedError", "inspect_guarded"]

_T = TypeVar("_T")

#: Seconds for any file, and bytes a second that the slowest disk gives.
_SECONDS: Final = 60.0
_SLOWEST_BYTES_PER_S: Final = 2e6
#: The child's own alarm rings a little after the parent's patience has ended.
_ALARM_AFTER_S: Final = 5.0
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
    readers : Readers, optional
        Children that are shared with other guards; by default this guard has its own.
    error : callable
        Makes the exception for a crash or a time-out of ``(message, reason=...)``.
    ended : callable
        Likewise for a child that was ended from outside; by default that is worth another attempt.
    """

    def __init__(
        self,
        *,
        seconds: float = _SECONDS,
        readers: Readers | None = None,
        error: Callable[..., Exception] = ParserError,
        ended: Callable[..., Exception] = ReaderEndedError,
    ) -> None:
        self.seconds = seconds
        self._readers = Readers() if readers is None else readers
        self._error = error
        self._ended = ended

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
        alarm = patience * LONGEST_PATIENCE + _ALARM_AFTER_S
        request = pickle.dumps((function, arguments, alarm), pickle.HIGHEST_PROTOCOL)
        child = self._readers.take()
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
            self._readers.give_back(child, is_well=is_well)
        if not is_error:
            result: _T = value
            return result
        if isinstance(value, MemoryError):
            limit = self._readers.memory >> 20
            raise self._error(f"reading needs more than {limit} MiB of memory", reason="parser_crash")
        if not isinstance(value, Exception):
            raise self._error(f"reading ended with {value!r}", reason="parser_crash")
        value.add_note(f"in the child process:\n{trace}")
        raise value

    def begin(self) -> None:
        """Start a child, so that the first call finds one; returns at once."""
        self._readers.begin()

    def end_idle(self) -> None:
        """End the children that are idle; a further call starts another."""
        self._readers.end_idle()

    def close(self) -> None:
        """End all children that are idle; one that is at work ends after its call."""
        self._readers.close()


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
