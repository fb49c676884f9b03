"""The states of a work item, and how it gets from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

__all__ = ["TRANSITIONS", "State", "diagram"]


class State(StrEnum):
    """Where a work item stands. An item that is done is deleted."""

    #: It is due, or will be at a time.
    WAITING = "waiting"
    #: A worker has it in hand, under a lease.
    RUNNING = "running"
    #: Nobody tries it again by himself; it is kept with its reason.
    FAILED = "failed"


#: From one state to another (None: not in the ledger), by the functions of the ledger that do it.
TRANSITIONS: Final[Mapping[tuple[State | None, State | None], tuple[str, ...]]] = {
    (None, State.WAITING): ("add_work",),
    (State.WAITING, State.RUNNING): ("claim",),
    (State.RUNNING, None): ("complete",),
    (State.RUNNING, State.WAITING): ("defer", "postpone", "release", "reap"),
    (State.RUNNING, State.FAILED): ("fail", "reap"),
    (State.FAILED, State.WAITING): ("retry_failed", "forgive"),
    (State.FAILED, None): ("complete", "cancel_items"),
    (State.WAITING, None): ("cancel_items",),
}


def diagram() -> str:
    """Draw states and transitions, as Mermaid."""
    lines = ["stateDiagram-v2"]
    for (before, after), functions in TRANSITIONS.items():
        lines.append(f"    {before or '[*]'} --> {after or '[*]'}: {', '.join(functions)}")
    return "\n".join(lines)
