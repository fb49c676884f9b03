"""What a check finds, and what becomes of many findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal, TypeAlias

__all__ = ["RUNBOOK", "Check", "Finding", "Verdict", "exit_status", "ok", "warning", "wrong"]

Verdict: TypeAlias = Literal["ok", "warning", "wrong"]
RUNBOOK: Final = "docs/operations.md"
_STATUS: Final[dict[Verdict, int]] = {"ok": 0, "warning": 1, "wrong": 2}


@dataclass(frozen=True)
class Finding:
    """One sentence about one thing."""

    verdict: Verdict
    #: What was looked at, e.g. a directory.
    subject: str
    message: str
    #: What to do; empty when all is well.
    remedy: str = ""
    check: str = ""

    @property
    def runbook(self) -> str:
        """Where the operators' handbook says more."""
        return f"{RUNBOOK}#doctor-{self.check}"

    def as_dict(self) -> dict[str, str]:
        """Write it for programs."""
        return {**asdict(self), "runbook": self.runbook}


@dataclass(frozen=True)
class Check:
    """Something to look at; it yields what it finds, and may raise what it does not expect."""

    name: str
    look: Callable[[], Iterator[Finding]]


def ok(subject: str, message: str) -> Finding:
    """Say that something is well."""
    return Finding("ok", subject, message)


def warning(subject: str, message: str, remedy: str) -> Finding:
    """Say that something needs attention, though files move."""
    return Finding("warning", subject, message, remedy)


def wrong(subject: str, message: str, remedy: str) -> Finding:
    """Say that something does not work."""
    return Finding("wrong", subject, message, remedy)


def exit_status(findings: Iterable[Finding]) -> int:
    """Return the exit status for monitoring: 0 all is well, 1 warnings, 2 something is wrong."""
    return max((_STATUS[finding.verdict] for finding in findings), default=0)
