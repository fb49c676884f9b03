"""Looking after the queues by hand: find, retry, cancel, pause, resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from fits_dagster.ledger.leases import wait_again
from fits_dagster.ledger.queries import QUERIES

__all__ = [
    "Selection",
    "cancel_items",
    "find_audit",
    "find_items",
    "pause_stage",
    "paused_stages",
    "resume_stage",
    "retry_failed",
    "retry_items",
    "write_audit",
    "write_refusal",
]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which work items: all criteria that are given must hold."""

    stage: str | None = None
    night: str | None = None
    state: str | None = None
    reason: str | None = None
    #: Regular expression (POSIX) searched in the file name.
    pattern: str | None = None
    ids: Sequence[int] | None = None

    def clauses(self) -> tuple[str, dict[str, Any]]:
        """Return the condition and its values."""
        terms: Mapping[str, tuple[str, Any]] = {
            "stage": ("stage = :stage", self.stage),
            "night": ("night = :night", self.night),
            "state": ("state = :state", self.state),
            "reason": ("reason = :reason", self.reason),
            "pattern": ("filename ~ :pattern", self.pattern),
            "ids": ("id = any(:ids)", list(self.ids) if self.ids is not None else None),
        }
        chosen = {name: term for name, term in terms.items() if term[1] is not None}
        condition = " and ".join(clause for clause, _ in chosen.values()) or "true"
        return condition, {name: value for name, (_, value) in chosen.items()}


def retry_failed(
    connection: Connection,
    *,
    stage: str | None = None,
    run_ids: Sequence[str] | None = None,
    ids: Sequence[int] | None = None,
    nights: Sequence[str] | None = None,
) -> int:
    """Put failed items back into their queues; all given criteria must hold.

    Returns
    -------
    int
        Number of items that wait again.
    """
    criteria = {
        "stage = :stage": stage,
        "run_id = any(:run_ids)": run_ids,
        "id = any(:ids)": ids,
        "night = any(:nights)": nights,
    }
    chosen = {clause: value for clause, value in criteria.items() if value is not None}
    values = {
        clause.split(":")[1].rstrip(")"): value if isinstance(value, str) else list(value)
        for clause, value in chosen.items()
    }
    statement = QUERIES.with_parts("retry", condition=" and ".join(chosen) or "true")
    return len(wait_again(connection, statement, values))


def find_items(connection: Connection, selection: Selection, *, limit: int = 100) -> list[dict[str, Any]]:
    """Return work items, running ones first, then those that wait, then the failed ones."""
    condition, values = selection.clauses()
    rows = connection.execute(
        QUERIES.with_parts("find_items", condition=condition),
        {**values, "limit": limit},
    ).mappings()
    return [dict(row) for row in rows]


def retry_items(connection: Connection, selection: Selection, *, who: str) -> int:
    """Put failed items back into their queues, and let those that wait for another attempt go at once."""
    condition, values = selection.clauses()
    failed = connection.scalars(QUERIES.with_parts("failed_ids", condition=condition), values).all()
    count = retry_failed(connection, ids=list(failed)) if failed else 0
    count += len(
        connection.execute(
            QUERIES.with_parts("retry_now", condition=condition),
            values,
        ).all()
    )
    write_audit(connection, who, "retry", f"{count} items: {selection}")
    return count


def cancel_items(connection: Connection, selection: Selection, *, who: str) -> int:
    """Remove items that wait or have failed; what runs is left to end."""
    condition, values = selection.clauses()
    gone = connection.execute(
        QUERIES.with_parts("cancel", condition=condition),
        values,
    ).all()
    named = ", ".join(f"{stage} {filename}" for stage, filename in gone[:50])
    write_audit(connection, who, "cancel", f"{len(gone)} items: {named}")
    return len(gone)


def pause_stage(connection: Connection, stage: str, *, who: str) -> None:
    """Let a stage take no further work; files in hand are finished, and the queue keeps what comes."""
    connection.execute(
        QUERIES["pause_stage"],
        {"stage": stage, "who": who},
    )
    write_audit(connection, who, "pause", stage)


def resume_stage(connection: Connection, stage: str, *, who: str) -> bool:
    """Let a stage go on; returns whether it was paused."""
    row = connection.execute(QUERIES["resume_stage"], {"stage": stage}).first()
    write_audit(connection, who, "resume", stage)
    return row is not None


def paused_stages(connection: Connection) -> dict[str, str]:
    """Return the stages that are paused, and who paused them."""
    return {stage: who for stage, who, _ in connection.execute(QUERIES["pauses"])}


def write_audit(connection: Connection, who: str, action: str, detail: str) -> None:
    """Note what somebody did."""
    connection.execute(
        QUERIES["write_audit"],
        {"who": who, "action": action, "detail": detail[:2000]},
    )


def write_refusal(connection: Connection, who: str, action: str, detail: str, *, most: int = 60) -> None:
    """Note that somebody was refused, but not without end: the audit must not be filled at will.

    Parameters
    ----------
    most
        Rows of this action in a minute.
    """
    shown = detail.encode("unicode_escape").decode()[:500]
    connection.execute(
        QUERIES["write_refusal"], {"who": who, "action": action, "detail": shown, "most": most}
    )


def find_audit(
    connection: Connection,
    *,
    who: str | None = None,
    about: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
) -> list[Mapping[str, Any]]:
    """Return what people did by hand, the newest first.

    Parameters
    ----------
    who, about
        Text that the name holds, or the action with its detail; capitals do not matter.
    """
    values = {"who": who, "about": about, "since": since, "limit": limit}
    return [dict(row) for row in connection.execute(QUERIES["find_audit"], values).mappings()]
