"""A file that crashes, hangs or bloats its reader costs that file only."""

from __future__ import annotations

import operator
import os
import resource
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fits_dagster.errors import FileError, Retry, describe_error
from fits_dagster.fits.guarded import Guard, ParserError, ReaderEndedError, inspect_guarded
from fits_dagster.fits.readers import Readers
from fits_dagster.stages.ingest import observe


@pytest.fixture(scope="module")
def guard():
    with Guard(seconds=30.0) as made:
        yield made


def test_the_result_is_the_one_of_a_direct_call(guard, night):
    guarded = inspect_guarded(guard, observe, night[0], night[0].name)
    assert guarded == observe(night[0], night[0].name)


def test_errors_of_a_file_arrive_as_they_are_and_the_child_stays(guard, saved):
    before = guard.call(os.getpid)
    path = saved(b"not FITS at all")
    with pytest.raises(FileError) as caught:
        inspect_guarded(guard, observe, path, path.name)
    assert caught.value.reason == "not_fits"
    assert "in the child process" in caught.value.__notes__[0]
    assert guard.call(os.getpid) == before != os.getpid()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
def test_a_crash_is_told_and_the_next_file_goes_on(guard, number):
    with pytest.raises(ParserError) as caught:
        guard.call(signal.raise_signal, number)
    assert caught.value.reason == "parser_crash"
    assert number.name in str(caught.value)
    assert guard.call(operator.add, 2, 2) == 4


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_reader_that_is_ended_from_outside_is_worth_another_attempt(guard, number):
    with pytest.raises(ReaderEndedError, match=number.name) as caught:
        guard.call(signal.raise_signal, number)
    assert describe_error(caught.value)[:2] == ("reader_ended", Retry.BACKOFF)
    assert guard.call(operator.add, 2, 2) == 4


def test_a_reader_can_be_ended_whatever_the_process_ignores_that_started_it():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with Guard() as guard, pytest.raises(ReaderEndedError, match="SIGTERM"):
            guard.call(signal.raise_signal, signal.SIGTERM)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGTERM, before)


def test_leaving_the_process_is_a_crash(guard):
    with pytest.raises(ParserError, match="exit status 3"):
        guard.call(os._exit, 3)
    with pytest.raises(ParserError, match="SystemExit"):
        guard.call(sys.exit, 3)


def test_a_child_that_died_idle_is_not_blamed_on_the_next_file(guard):
    child = guard.call(os.getpid)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert guard.call(operator.add, 1, 2) == 3


def test_a_reader_that_hangs_is_ended(guard):
    child = guard.call(os.getpid)
    with pytest.raises(ParserError) as caught:
        guard.call(time.sleep, 60, seconds=0.1)
    assert caught.value.reason == "parser_timeout"
    assert not Path(f"/proc/{child}").exists()
    assert guard.call(operator.add, 1, 1) == 2


def test_memory_is_limited(guard):
    with pytest.raises(ParserError) as caught:
        guard.call(bytearray, 10 << 30)
    assert caught.value.reason == "parser_crash"
    assert "memory" in str(caught.value)


def test_the_exception_of_the_caller_is_used():
    with Guard(error=FileError) as guard, pytest.raises(FileError) as caught:
        guard.call(os._exit, 1)
    assert caught.value.reason == "parser_crash"


def test_what_cannot_be_pickled_is_still_told(guard):
    with pytest.raises((RuntimeError, TypeError), match="pickle"):
        guard.call(threading.Lock)


def test_threads_get_children_of_their_own():
    with Guard() as guard, ThreadPoolExecutor(2) as pool:
        barrier = [pool.submit(guard.call, time.sleep, 0.3) for _ in range(2)]
        for job in barrier:
            job.result()
        pids = {pool.submit(guard.call, os.getpid).result() for _ in range(4)}
    assert pids and not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_guards_may_share_their_children() -> None:
    readers = Readers()
    with Guard(readers=readers) as one, Guard(readers=readers, error=FileError) as other:
        child = one.call(os.getpid)
        assert other.call(os.getpid) == child
        one.end_idle()
        assert not Path(f"/proc/{child}").exists()
        with pytest.raises(FileError):
            other.call(os._exit, 1)
        assert one.call(operator.add, 1, 1) == 2


def test_children_that_are_shared_take_their_calls_in_turn() -> None:
    readers = Readers()
    readers.share(1)
    with Guard(readers=readers) as guard, ThreadPoolExecutor(3) as pool:
        with pytest.raises(ParserError):
            guard.call(os._exit, 1)
        pids = {call.result() for call in [pool.submit(guard.call, _awhile) for _ in range(6)]}
    assert len(pids) == 1


def _awhile() -> int:
    time.sleep(0.05)
    return os.getpid()


def test_memory_that_a_file_needed_is_kept_for_the_next(guard: Guard) -> None:
    guard.call(_new_pages, 3)
    assert guard.call(_new_pages, 3) < 1000, "4096 bytes each: the kernel cleared them all again"


def _new_pages(times: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        bytearray(8 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_a_missing_file_is_an_os_error(guard, tmp_path):
    with pytest.raises(FileNotFoundError):
        inspect_guarded(guard, observe, tmp_path / "none.fits", "none.fits")


def test_a_child_that_is_stopped_for_a_while_has_not_hung(guard: Guard) -> None:
    pid = guard.call(os.getpid)
    os.kill(pid, signal.SIGSTOP)
    later = threading.Timer(1.0, os.kill, (pid, signal.SIGCONT))
    later.start()
    try:
        assert guard.call(os.getpid, seconds=0.3) == pid
    finally:
        later.join()
