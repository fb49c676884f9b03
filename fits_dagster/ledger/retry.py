"""When work is tried again: how long after a transient error, and how often."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from fits_dagster.settings import WorkSettings

__all__ = ["RetryPolicy"]

#: Reasons that never become failures: the alerts tell that there is no room, and some day there is.
_WAITED_FOR: Final = frozenset({"disk_full"})


@dataclass(frozen=True)
class RetryPolicy:
    """Doubling pauses with jitter, up to a longest one; a number of attempts, or for ever.

    The pause is written with the item, so that it outlives the process: a library that sleeps and calls
    again does not serve here.
    """

    base_seconds: float
    cap_seconds: float
    #: None for ever.
    max_attempts: int | None

    @classmethod
    def of(cls, work: WorkSettings, *, for_ever: bool = False) -> RetryPolicy:
        """Return the policy of the settings."""
        return cls(work.retry_base_seconds, work.retry_cap_seconds, None if for_ever else work.max_attempts)

    def delay(self, attempts: int, reason: str) -> float | None:
        """Return the pause before the next attempt, seconds; None when there is none.

        Parameters
        ----------
        attempts
            Attempts that have failed, at least 1.
        reason
            Reason of the last failure.
        """
        if self.max_attempts is not None and attempts >= self.max_attempts and reason not in _WAITED_FOR:
            return None
        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** max(0, attempts - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, hides nothing
