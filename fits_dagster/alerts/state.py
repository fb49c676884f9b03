"""What has been sent already: one row per condition, so that a storm makes a handful of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from fits_dagster.alerts.alarm import Alarm
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.settings import AlertSettings

__all__ = ["Notice", "current_alerts", "mark_sent", "update_alerts"]


@dataclass(frozen=True)
class Notice:
    """Something to tell now."""

    kind: str
    subject: str
    message: str
    #: ``new``, ``lasts`` (sent again after some hours), or ``over``.
    what: Literal["new", "lasts", "over"]


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
        New conditions, those that last and were sent long ago, and those that are over. They are sent again
        at the next look unless :func:`mark_sent` is called.
    """
    connection.execute(RECORDS["lock_alerts"])
    found = {alarm.subject: vars(alarm) for alarm in alarms}
    if found:
        connection.execute(LEDGER["alert_seen"], [found[subject] for subject in sorted(found)])
    connection.execute(LEDGER["alerts_over"], {"kinds": list(kinds), "subjects": list(found)})
    connection.execute(LEDGER["forget_alerts"])
    times = {"repeat": settings.repeat_hours * 3600.0, "quiet": settings.quiet_minutes * 60.0}
    return [
        Notice(
            row.kind,
            row.subject,
            row.message,
            "over" if row.over else "new" if row.new else "lasts",
        )
        for row in connection.execute(LEDGER["alerts_to_send"], times)
    ]


def mark_sent(connection: Connection, notices: Iterable[Notice]) -> None:
    """Note that people have been notified."""
    connection.execute(LEDGER["alerts_sent"], {"subjects": [notice.subject for notice in notices]})


def current_alerts(connection: Connection) -> Sequence[Mapping[str, object]]:
    """Return the conditions that last, the oldest first."""
    rows = connection.execute(
        LEDGER["current_alerts"]
    )  # fmt: skip
    return [dict(row) for row in rows.mappings()]
