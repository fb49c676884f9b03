"""Comparing clocks: files are put in order by the times that different machines give them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from fits_dagster.doctor.finding import Finding, ok, warning, wrong

__all__ = ["clock_finding"]

#: The times of HTTP headers are whole seconds.
_NOTED: Final = timedelta(seconds=2)
_HARMFUL: Final = timedelta(seconds=30)


def clock_finding(subject: str, there: datetime, before: datetime, after: datetime) -> Finding:
    """Compare another clock with ours.

    Parameters
    ----------
    before, after
        Our times before and after the question: the other one's lies between them if the clocks agree.
    """
    apart = max(before - there, there - after, timedelta(0))
    direction = "behind" if there < before else "ahead"
    message = f"its clock is {apart.total_seconds():.0f} s {direction}"
    remedy = "let both machines take their time from the same server (chrony, systemd-timesyncd)"
    if apart > _HARMFUL:
        return wrong(subject, message, remedy)
    if apart > _NOTED:
        return warning(subject, message, remedy)
    return ok(subject, "its clock agrees with ours")
