"""The child of :mod:`fits_dagster.fits.guarded`: one call after the other until its parent is gone."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import sys
import traceback
from multiprocessing.connection import Connection

from fits_dagster.fits.progress import tell_to

__all__ = ["main"]


def main() -> None:
    """Serve calls on the connection whose descriptor is the first argument.

    The second argument is the limit of memory in bytes. A call is a pickled (function, arguments, seconds),
    an answer a pickled (is it an error, value, traceback). Pickled texts before it are notes of progress.
    """
    connection: Connection[tuple[bool, object, str], bytes] = Connection(int(sys.argv[1]))
    limit = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # what the process that started it ignores or holds back for a while would stay so here
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    tell_to(lambda doing: connection.send_bytes(pickle.dumps(doing)))
    while True:
        try:
            request = connection.recv_bytes()
        except (EOFError, ConnectionError):
            return
        answer = _answer(request)
        try:
            connection.send_bytes(answer)
        except ConnectionError:
            return


def _answer(request: bytes) -> bytes:
    try:
        function, arguments, seconds = pickle.loads(request)  # noqa: S301 - of our own parent
        # the system's alarm ends this process even if it is stuck and its parent is gone
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            value = function(*arguments)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return pickle.dumps((False, value, ""), pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # whatever it is, the parent decides
        trace = traceback.format_exc()
        try:
            answer = pickle.dumps((True, error, trace), pickle.HIGHEST_PROTOCOL)
            pickle.loads(answer)  # noqa: S301 - our own, a moment ago
        except Exception:  # an exception that cannot travel
            answer = pickle.dumps((True, RuntimeError(f"{type(error).__name__}: {error}"), trace))
        return answer


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
