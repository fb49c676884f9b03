"""What is simulated, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from benchmarks.year.expected import Verdict
from benchmarks.year.meters import Stretch
from benchmarks.year.plan import Chances

__all__ = ["Year", "YearOptions"]


@dataclass(frozen=True, kw_only=True)
class YearOptions:
    """What is simulated."""

    nights: int = 365
    files_per_night: int = 100
    #: Real minutes after which no further night begins, however many are left.
    minutes: float | None = None
    #: Simulated seconds in a real one; 0: as fast as the files arrive.
    speed: float = 0.0
    #: Nights that may be on their way before another one begins.
    ahead: int = 2
    seed: int = 1
    #: First night; default: so that the last one is some days ago.
    first: date | None = None
    chances: Chances = field(default_factory=Chances)
    #: Nights that the summit's disk holds.
    keep_nights: int = 30
    #: Nights of one row of the table.
    row_nights: int = 30
    #: Directory below which the home is made; it is removed at the end.
    home: Path | None = None
    #: Directory of a home that stays, for another part of the year.
    keep: Path | None = None

    @property
    def first_night(self) -> date:
        """The date of the first night."""
        return self.first or datetime.now(UTC).date() - timedelta(days=self.nights + 7)


@dataclass
class Year:
    """What came of a year."""

    options: YearOptions
    stretches: list[Stretch] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    deeds: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    #: Real seconds for which the clock of the nights stood, because files were behind.
    waited_s: float = 0.0
    timed_out: bool = False
    #: Somebody wants it to end with the night that is on.
    is_to_end: bool = False
    interrupted: bool = False

    @property
    def is_good(self) -> bool:
        """Whether everything has arrived, and only what was broken has failed."""
        return self.verdict.is_good and not self.findings and not self.timed_out
