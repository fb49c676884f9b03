"""What came of the work: files done, files that failed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from fits_dagster.ledger.items import WorkItem
from fits_dagster.ledger.stage import Committed

__all__ = ["DrainReport", "FileFailure", "Finished", "NightFigures"]


@dataclass(frozen=True)
class FileFailure:
    """One file that failed, as told to people."""

    filename: str
    path: str
    night: str
    reason: str
    error: str
    traceback: str
    #: Seconds until it is tried again by itself; None when somebody has to act.
    retry_in: float | None = None
    #: See :attr:`fits_dagster.ledger.items.WorkItem.content`.
    content: str = ""


@dataclass
class NightFigures:
    """What was done for one night."""

    files: int = 0
    bytes: int = 0


@dataclass
class DrainReport:
    """What a drain did."""

    stage: str
    #: Dagster run that does it; empty outside of Dagster.
    run_id: str = ""
    done: int = 0
    bytes: int = 0
    seconds: float = 0.0
    deferred: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    by_night: dict[str, NightFigures] = field(default_factory=dict)
    failures: list[FileFailure] = field(default_factory=list)
    retrying: list[FileFailure] = field(default_factory=list)

    def count(self, item: WorkItem, committed: Committed) -> None:
        """Add one file that is done."""
        self.done += 1
        self.bytes += committed.size
        self.outcomes[committed.outcome] = self.outcomes.get(committed.outcome, 0) + 1
        night = self.by_night.setdefault(item.night, NightFigures())
        night.files += 1
        night.bytes += committed.size


@dataclass(frozen=True)
class Finished:
    """One file after its work: a result or an error."""

    item: WorkItem
    result: Any
    error: BaseException | None
    #: What its work took, and its share of writing down what came of it.
    seconds: float

    def taking(self, more: float) -> Finished:
        """Return it with so many seconds more."""
        return replace(self, seconds=self.seconds + more)
