"""The watch: look regularly, remember, tell."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

from fits_dagster.alerts.alarm import Alarm
from fits_dagster.alerts.conditions import disk_alarms, night_alarms, site_alarms
from fits_dagster.alerts.dagster_health import dagster_alarms
from fits_dagster.alerts.senders import AlertsNotSentError, send
from fits_dagster.alerts.state import Notice, mark_sent, update_alerts
from fits_dagster.database.server import dagster_url
from fits_dagster.settings import AlertSettings, Settings, SiteName
from fits_dagster.sites import Site, open_site

__all__ = ["Watch"]

log = logging.getLogger(__name__)

#: Kinds that a look at one thing can find; what was not looked at is not over.
_SITE_KINDS: Final = ("failed", "stuck", "growing", "destination")
_NIGHT_KINDS: Final = ("night",)
_DISK_KINDS: Final = ("disk", "dhs")
_DAGSTER_KINDS: Final = ("daemon", "sensor", "run")


#: Kinds that it finds, and the look itself.
_Look: TypeAlias = tuple[tuple[str, ...], Callable[[], Iterator[Alarm]]]


class Watch:
    """Looks at the sites and at Dagster, and tells what is new, what lasts and what is over.

    Each site's conditions are remembered in its own database; Dagster's and the disks' with the first site.
    """

    def __init__(self, settings: Settings, *, grace_seconds: float | None = None) -> None:
        """Open the sites.

        Parameters
        ----------
        grace_seconds
            Time for which Dagster's silence is taken for its start; default: as long as it may be silent.
        """
        self.settings = settings
        grace = settings.alerts.tick_minutes * 60.0 if grace_seconds is None else grace_seconds
        self._trusts_dagster_until = time.monotonic() + grace
        self.sites: Mapping[SiteName, Site] = {name: open_site(settings, name) for name in settings.sites}
        self._dagster: Engine | None = None
        self._nights_at = 0.0
        #: When a database that does not answer was reported; it cannot remember that itself.
        self._silent: dict[str, float] = {}

    @property
    def alerts(self) -> AlertSettings:
        """How people are notified."""
        return self.settings.alerts

    def alarms(self) -> list[Alarm]:
        """Look at everything, and return what is wrong; nothing is remembered."""
        found: list[Alarm] = []
        for place, (name, site) in enumerate(self.sites.items()):
            for _, look in self._looks(site, nights=True, dagster=not place):
                try:
                    found += look()
                except (DBAPIError, OSError) as error:
                    found.append(_silence(name, error))
        return found

    def look(self) -> list[Notice]:
        """Look once and notify people; returns what was sent."""
        sent: list[Notice] = []
        nights = not self._nights_at or time.monotonic() - self._nights_at >= self.alerts.night_seconds
        for place, (name, site) in enumerate(self.sites.items()):
            sent += self._notify(name, site, self._looks(site, nights=nights, dagster=not place))
        if nights:
            self._nights_at = time.monotonic()
        return sent

    def _looks(self, site: Site, *, nights: bool, dagster: bool) -> list[_Look]:
        looks: list[_Look] = [
            (_SITE_KINDS, lambda: site_alarms(site, self.alerts)),
            (_DISK_KINDS, lambda: disk_alarms(site, self.alerts)),
        ]
        if nights:
            looks.append((_NIGHT_KINDS, lambda: night_alarms(site)))
        if dagster:
            looks.append((_DAGSTER_KINDS, self._dagster_alarms))
        return looks

    def close(self) -> None:
        """Let go of the databases."""
        for site in self.sites.values():
            site.close()
        if self._dagster is not None:
            self._dagster.dispose()

    def _notify(self, name: SiteName, site: Site, looks: list[_Look]) -> list[Notice]:
        alarms: list[Alarm] = []
        kinds: list[str] = []
        problem: Exception | None = None
        for of, look in looks:
            try:
                alarms += look()
                kinds += of
            except (DBAPIError, OSError) as error:
                problem = error
        try:
            with site.engine.begin() as connection:
                notices = update_alerts(connection, alarms, kinds, self.alerts)
            if notices:
                send(notices, self.alerts)
                with site.engine.begin() as connection:
                    mark_sent(connection, notices)
            self._silent.pop(name, None)
        except AlertsNotSentError:
            return []
        except DBAPIError as error:
            return self._tell_silence(name, problem or error)
        return notices

    def _tell_silence(self, name: SiteName, error: Exception) -> list[Notice]:
        """Tell that a site's database does not answer, without it."""
        now = time.monotonic()
        if now - self._silent.get(name, -1e9) < self.alerts.repeat_hours * 3600.0:
            return []
        alarm = _silence(name, error)
        notice = Notice(alarm.kind, alarm.subject, alarm.message, "new")
        try:
            send([notice], self.alerts)
        except AlertsNotSentError:
            return []
        self._silent[name] = now
        return [notice]

    def _dagster_alarms(self) -> Iterator[Alarm]:
        if self._dagster is None:
            url = dagster_url(self.settings).set(drivername="postgresql+psycopg")
            options = {"connect_timeout": 5, "options": "-c timezone=UTC"}
            self._dagster = create_engine(url, pool_size=1, pool_pre_ping=True, connect_args=options)
        with self._dagster.connect() as connection:
            for alarm in dagster_alarms(connection, self.alerts):
                if alarm.kind == "run" or time.monotonic() >= self._trusts_dagster_until:
                    yield alarm


def _silence(name: SiteName, error: Exception) -> Alarm:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return Alarm("database", f"database:{name}", f"{name}: something does not answer: {line}")
