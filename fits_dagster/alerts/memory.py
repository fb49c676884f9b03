"""What has been told already: one row per condition, so that a storm makes a handful of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, text

from fits_dagster.alerts.alarm import Alarm
from fits_dagster.settings import AlertSettings

__all__ = ["Notice", "current_alerts", "mark_told", "update_alerts"]


@dataclass(frozen=True)
class Notice:
    """Something to tell now."""

    kind: str
    subject: str
    message: str
    #: ``new``, ``lasts`` (told again after some hours), or ``over``.
    what: Literal["new", "lasts", "over"]


_LOCK = text("select pg_advisory_xact_lock(7268733)")
# a condition that comes back keeps the time at which it was told, and so does not tell at every turn
_SEEN = text("""
insert into alert as a (subject, kind, message, size) values (:subject, :kind, :message, :size)
on conflict (subject) do update set
    kind = excluded.kind, message = excluded.message, size = excluded.size, last_at = now(),
    first_at = case when a.over_at is null then a.first_at else now() end,
    seen = case when a.over_at is null then a.seen + 1 else 1 end, over_at = null
""")
_OVER = text("""
update alert set over_at = now()
where over_at is null and kind = any(:kinds) and not subject = any(:subjects)
""")
_TO_TELL = text("""
select subject, kind, message, over_at is not null as over,
       told_at is null or told_at < first_at as new
from alert
where (over_at is null and (
         told_at is null
         or told_at < now() - make_interval(secs => :repeat)
         or (told_at < now() - make_interval(secs => :quiet)
             and (told_at < first_at or size >= 10 * told_size))))
   or (over_at is not null and told_at >= first_at and over_at > told_at)
order by first_at, subject
""")
_TOLD = text("update alert set told_at = now(), told_size = size where subject = any(:subjects)")
_FORGET = text("delete from alert where over_at < now() - interval '7 days'")


def update_alerts(
    connection: Connection, alarms: Iterable[Alarm], kinds: Sequence[str], settings: AlertSettings
) -> list[Notice]:
    """Compare what holds now with what is remembered, and return what to tell.

    Parameters
    ----------
    alarms
        Conditions that hold now.
    kinds
        Kinds that were looked for; a remembered condition of another kind is left as it is.

    Returns
    -------
    list of Notice
        New conditions, those that last and were told long ago, and those that are over. They are told again
        at the next look unless :func:`mark_told` is called.
    """
    connection.execute(_LOCK)
    found = {alarm.subject: vars(alarm) for alarm in alarms}
    if found:
        connection.execute(_SEEN, [found[subject] for subject in sorted(found)])
    connection.execute(_OVER, {"kinds": list(kinds), "subjects": list(found)})
    connection.execute(_FORGET)
    times = {"repeat": settings.repeat_hours * 3600.0, "quiet": settings.quiet_minutes * 60.0}
    return [
        Notice(
            row.kind,
            row.subject,
            row.message,
            "over" if row.over else "new" if row.new else "lasts",
        )
        for row in connection.execute(_TO_TELL, times)
    ]


def mark_told(connection: Connection, notices: Iterable[Notice]) -> None:
    """Note that people have been told."""
    connection.execute(_TOLD, {"subjects": [notice.subject for notice in notices]})


def current_alerts(connection: Connection) -> Sequence[Mapping[str, object]]:
    """Return the conditions that last, the oldest first."""
    rows = connection.execute(
        text("select subject, kind, message, first_at, last_at, told_at from alert where over_at is null "
             "order by first_at, subject")
    )  # fmt: skip
    return [dict(row) for row in rows.mappings()]
