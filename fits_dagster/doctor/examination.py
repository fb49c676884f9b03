"""Running checks side by side: one that fails or hangs leaves the others, and costs a bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from fits_dagster.doctor.finding import Check, Finding, wrong

__all__ = ["examine"]

_PATIENCE_S: Final = 20.0


class _Look(threading.Thread):
    """A check at work; its thread is left behind when it hangs."""

    def __init__(self, check: Check) -> None:
        super().__init__(name=f"doctor-{check.name}", daemon=True)
        self.check = check
        self.findings: list[Finding] = []

    def run(self) -> None:
        """Collect what the check finds; what it trips over is a finding, too."""
        try:
            for finding in self.check.look():
                self.findings.append(finding)
        except Exception as error:  # whatever it is, the other checks go on
            line = (str(error).splitlines() or [""])[0]
            self.findings.append(
                wrong(self.check.name, f"could not be looked at: {type(error).__name__}: {line}", "mend that")
            )


def examine(checks: Iterable[Check], *, patience: float = _PATIENCE_S) -> list[Finding]:
    """Carry out checks at the same time, and return their findings in the order of the checks.

    Parameters
    ----------
    patience
        Seconds after which a check that has not ended is said to hang.
    """
    looks = [_Look(check) for check in checks]
    deadline = time.monotonic() + patience
    for look in looks:
        look.start()
    found: list[Finding] = []
    for look in looks:
        look.join(max(0.0, deadline - time.monotonic()))
        hangs = look.is_alive()
        findings = list(look.findings)
        if hangs:
            remedy = "see what it waits for: a mount or a server that does not answer"
            findings.append(wrong(look.check.name, f"did not end within {patience:.0f} s", remedy))
        found += [replace(finding, check=look.check.name) for finding in findings]
    return found
