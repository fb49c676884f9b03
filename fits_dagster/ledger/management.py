"""Looking after the queues by hand: find, retry, cancel, pause, resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

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

_COLUMNS = (
    "id, stage, path, filename, destination, night, state, priority, added_at, not_before, attempts, reason, "
    "error, failed_at, run_id, traceback"
)


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


_RETRY = """
with mine as (select * from work_item where state = 'failed' and {where} for update),
     waiting as (select m.id from mine m join work_item w on w.state = 'waiting' and w.stage = m.stage
                 and w.path = m.path and w.filename = m.filename and w.destination = m.destination),
     gone as (delete from work_item where id in (select id from waiting))
update work_item w
set state = 'waiting', attempts = 0, deaths = 0, lost_lease = null, not_before = now(), failed_at = null,
    priority = greatest(w.priority, 1),
    payload = w.payload || '{{"retried": true}}'::jsonb
from mine m where w.id = m.id and m.id not in (select id from waiting)
returning w.id, w.night
"""


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
    statement = text(_RETRY.format(where=" and ".join(chosen) or "true"))
    return len(connection.execute(statement, values).all())


def find_items(connection: Connection, selection: Selection, *, limit: int = 100) -> list[dict[str, Any]]:
    """Return work items, running ones first, then those that wait, then the failed ones."""
    condition, values = selection.clauses()
    rows = connection.execute(
        text(
            f"select {_COLUMNS} from work_item where {condition} "
            "order by array_position(array['running', 'waiting', 'failed'], state), priority desc, "
            "sort_key desc limit :limit"
        ),
        {**values, "limit": limit},
    ).mappings()
    return [dict(row) for row in rows]


def retry_items(connection: Connection, selection: Selection, *, who: str) -> int:
    """Put failed items back into their queues, and let those that wait for another attempt go at once."""
    condition, values = selection.clauses()
    failed = connection.scalars(
        text(f"select id from work_item where state = 'failed' and {condition}"), values
    ).all()
    count = retry_failed(connection, ids=list(failed)) if failed else 0
    count += len(
        connection.execute(
            text(
                "update work_item set not_before = now() where state = 'waiting' and not_before > now() "
                f"and {condition} returning id"
            ),
            values,
        ).all()
    )
    write_audit(connection, who, "retry", f"{count} items: {selection}")
    return count


def cancel_items(connection: Connection, selection: Selection, *, who: str) -> int:
    """Remove items that wait or have failed; what runs is left to end."""
    condition, values = selection.clauses()
    gone = connection.execute(
        text(f"delete from work_item where state <> 'running' and {condition} returning stage, filename"),
        values,
    ).all()
    named = ", ".join(f"{stage} {filename}" for stage, filename in gone[:50])
    write_audit(connection, who, "cancel", f"{len(gone)} items: {named}")
    return len(gone)


def pause_stage(connection: Connection, stage: str, *, who: str) -> None:
    """Let a stage take no further work; files in hand are finished, and the queue keeps what comes."""
    connection.execute(
        text("insert into pause (stage, paused_by) values (:stage, :who) on conflict do nothing"),
        {"stage": stage, "who": who},
    )
    write_audit(connection, who, "pause", stage)


def resume_stage(connection: Connection, stage: str, *, who: str) -> bool:
    """Let a stage go on; returns whether it was paused."""
    row = connection.execute(
        text("delete from pause where stage = :stage returning stage"), {"stage": stage}
    ).first()
    write_audit(connection, who, "resume", stage)
    return row is not None


def paused_stages(connection: Connection) -> dict[str, str]:
    """Return the stages that are paused, and who paused them."""
    return {stage: who for stage, who in connection.execute(text("select stage, paused_by from pause"))}


def write_audit(connection: Connection, who: str, action: str, detail: str) -> None:
    """Note what somebody did."""
    connection.execute(
        text("insert into audit (who, action, detail) values (:who, :action, :detail)"),
        {"who": who, "action": action, "detail": detail[:2000]},
    )


_REFUSAL = text("""
insert into audit (who, action, detail)
select :who, :action, :detail from audit
where who = :who and action = :action and at > now() - interval '1 minute'
having count(*) < :most
""")
_MOST_REFUSALS = 60


def write_refusal(connection: Connection, who: str, action: str, detail: str) -> None:
    """Note that somebody was refused, up to 60 times a minute: the audit must not be filled at will."""
    shown = detail.encode("unicode_escape").decode()[:500]
    connection.execute(_REFUSAL, {"who": who, "action": action, "detail": shown, "most": _MOST_REFUSALS})


_AUDIT = text("""
select at, who, action, detail from audit
where (cast(:who as text) is null or strpos(lower(who), lower(:who)) > 0)
  and (cast(:about as text) is null or strpos(lower(action || ' ' || detail), lower(:about)) > 0)
  and (cast(:since as timestamptz) is null or at >= :since)
order by at desc, id desc limit :limit
""")


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
    return [dict(row) for row in connection.execute(_AUDIT, values).mappings()]
