"""Whether Dagster is alive: its daemon's heartbeats, its sensors' ticks, its failed runs.

Read from Dagster's database with plain SQL, because a process that watches Dagster must not depend on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from fits_dagster.alerts.alarm import Alarm
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.settings import AlertSettings
from fits_dagster.wording import counted

__all__ = ["dagster_alarms"]

#: Parts of the daemon without which no file moves.
_DAEMONS: Final = ("SENSOR", "QUEUED_RUN_COORDINATOR")
_RUN_WINDOW: Final = timedelta(hours=1)
_GONE: Final = timedelta(days=1)


def dagster_alarms(
    connection: Connection, settings: AlertSettings, now: datetime | None = None
) -> Iterator[Alarm]:
    """Yield what is wrong with Dagster.

    Parameters
    ----------
    connection
        On Dagster's own database, whose sessions work in UTC.
    now
        Default: now.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        The database does not answer, or has no tables of Dagster.
    """
    now = now or datetime.now(UTC)
    limit = timedelta(minutes=settings.tick_minutes)
    beats = {
        kind: _utc(at)
        for kind, at in connection.execute(RECORDS["daemon_heartbeats"], {"types": list(_DAEMONS)})
    }
    for kind in _DAEMONS:
        at = beats.get(kind)
        if at is None or now - at > limit:
            since = f"since {at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "at all"
            yield Alarm(
                "daemon", f"daemon:{kind}", f"Dagster's daemon gives no sign of life as {kind} {since}."
            )
    for body, at in connection.execute(RECORDS["sensor_ticks"]):
        # one that has been silent for a day is no longer there: its ticks are pruned
        if limit < now - _utc(at) < _GONE:
            name = _sensor_name(body)
            yield Alarm(
                "sensor",
                f"sensor:{name}",
                f"The sensor {name} has not ticked since {_utc(at):%Y-%m-%d %H:%M:%S} UTC.",
            )
    for row in connection.execute(
        RECORDS["failed_runs"], {"since": (now - _RUN_WINDOW).replace(tzinfo=None)}
    ):
        yield Alarm(
            "run",
            f"run:{row.pipeline_name}",
            f"{counted(row.failed, 'run')} of {row.pipeline_name} failed within the last hour: "
            f"see /dagster/runs/{row.one}.",
            row.failed,
        )


def _utc(moment: datetime) -> datetime:
    """Give a time of Dagster's tables, which is UTC without saying so, its zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _sensor_name(body: str) -> str:
    """Find the name of a sensor, and of its code location, in Dagster's own notation."""

    def search(value: object, key: str) -> str | None:
        if isinstance(value, dict):
            if isinstance(value.get(key), str):
                return str(value[key])
            value = list(value.values())
        if isinstance(value, list):
            return next((found for each in value if (found := search(each, key)) is not None), None)
        return None

    try:
        known = json.loads(body)
    except ValueError:
        return "unknown"
    names = [search(known, "location_name"), search(known, "instigator_name") or search(known, "job_name")]
    return "/".join(name for name in names if name) or "unknown"
