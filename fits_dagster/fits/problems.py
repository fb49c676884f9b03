"""What can be wrong with a file, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Problem", "Severity", "refuse", "warn"]

Severity = Literal["refuse", "warn"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about the structure of a file."""

    #: Stable word for programs and statistics, for instance ``truncated``.
    code: str
    #: ``refuse``: the file cannot be taken as FITS; ``warn``: it is taken and the finding is recorded.
    severity: Severity
    #: One sentence for people, with the place and the numbers.
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def refuse(code: str, message: str) -> Problem:
    """Make a finding for which the file is refused."""
    return Problem(code, "refuse", message)


def warn(code: str, message: str) -> Problem:
    """Make a finding with which the file is still accepted."""
    return Problem(code, "warn", message)
