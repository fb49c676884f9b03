"""Transactions that the server ended because they and another waited for each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import psycopg
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random

__all__ = ["once_more_after_a_deadlock"]

_Call = TypeVar("_Call", bound=Callable[..., Any])
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.3


def _is_deadlock(error: BaseException) -> bool:
    return isinstance(getattr(error, "orig", None), psycopg.errors.DeadlockDetected)


def once_more_after_a_deadlock(call: _Call) -> _Call:
    """Let a function whose one transaction was the victim of a deadlock try again, some times at most."""
    repeated = retry(
        retry=retry_if_exception(_is_deadlock),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random(0, _PAUSE_S),
        reraise=True,
    )(call)
    return cast(_Call, repeated)
