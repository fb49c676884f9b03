"""Conditions of a site that somebody should know of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from fits_dagster.alerts.alarm import Alarm
from fits_dagster.checks.standing import checks_of
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.settings import AlertSettings
from fits_dagster.sites import Site
from fits_dagster.storage.mounts import disk_figures
from fits_dagster.wording import counted

__all__ = ["NIGHT_CHECKS", "disk_alarms", "night_alarms", "site_alarms"]

log = logging.getLogger(__name__)

_GB: Final = 1024**3
NIGHT_CHECKS: Final = ("night_complete", "md5_equal")


def site_alarms(site: Site, settings: AlertSettings) -> Iterator[Alarm]:
    """Yield what is wrong at a site, by its database: a few queries.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        The database does not answer.
    """
    yield from _failed(site)
    yield from _stuck(site)
    yield from _growing(site, settings)
    yield from _destinations_down(site, settings)


def _failed(site: Site) -> Iterator[Alarm]:
    with site.engine.connect() as connection:
        rows = connection.execute(LEDGER["failed_by_reason"]).all()
    for row in rows:
        yield Alarm(
            "failed",
            f"failed:{site.name}:{row.stage}:{row.reason}",
            f"{site.name}: {counted(row.total, 'file')} failed in {row.stage} with {row.reason}, "
            f"the latest: {', '.join(row.newest)}. See /queuestatus.",
            row.total,
        )


def _stuck(site: Site) -> Iterator[Alarm]:
    for check in checks_of(site.settings):
        if check.name != "nothing_stuck":
            continue
        found = check.look(site)
        if not found.passed:
            files = ", ".join(str(row["file"]) for row in found.rows[:3])
            yield Alarm(
                "stuck",
                f"stuck:{site.name}:{check.stage}",
                f"{site.name}: {check.stage} stands still: {found.summary}"
                + (f" ({files})" if files else ""),
            )


def _growing(site: Site, settings: AlertSettings) -> Iterator[Alarm]:
    with site.engine.connect() as connection:
        rows = connection.execute(LEDGER["long_queues"], {"most": settings.long_queue}).all()
    for row in rows:
        yield Alarm(
            "growing",
            f"growing:{site.name}:{row.stage}",
            f"{site.name}: {row.due} files wait for {row.stage}, the oldest since "
            f"{row.oldest:%Y-%m-%d %H:%M} UTC.",
            row.due,
        )


def _destinations_down(site: Site, settings: AlertSettings) -> Iterator[Alarm]:
    with site.engine.connect() as connection:
        rows = connection.execute(
            LEDGER["destinations_down"], {"seconds": settings.destination_minutes * 60.0}
        ).all()
    for row in rows:
        yield Alarm(
            "destination",
            f"destination:{site.name}:{row.destination}",
            f"{site.name}: {row.destination} has not taken files for long: {row.waiting} wait, the oldest "
            f"since {row.oldest:%Y-%m-%d %H:%M} UTC. It says: {row.error}",
        )


def night_alarms(site: Site) -> Iterator[Alarm]:
    """Yield what is incomplete or altered in the last nights; asks the destinations."""
    for check in checks_of(site.settings):
        if check.name not in NIGHT_CHECKS:
            continue
        found = check.look(site)
        if not found.passed:
            files = ", ".join(f"{row['file']} {row['state']}" for row in found.rows[:5])
            yield Alarm(
                "night",
                f"night:{site.name}:{check.name}",
                f"{site.name}: {found.summary}" + (f" ({files})" if files else ""),
            )


def disk_alarms(site: Site, settings: AlertSettings) -> Iterator[Alarm]:
    """Yield directories that cannot be read, hang, or have too little free space."""
    for path, (kind, least) in _places(site, settings).items():
        try:
            free = disk_figures(path).free / _GB
        except OSError as error:
            subject = f"{kind}:{site.name}:{path}"
            yield Alarm(kind, subject, f"{site.name}: {path} cannot be read: {error.strerror or error}.")
        else:
            if free < least:
                message = f"{site.name}: {path} has {free:.1f} GB free, less than {least:g} GB."
                yield Alarm("disk", f"disk:{site.name}:{path}", message)


def _places(site: Site, settings: AlertSettings) -> Mapping[Path, tuple[str, float]]:
    """Return the directories to look at: what an alarm about each is called, and its least free space, GB."""
    own: Mapping[str, Callable[[], Path | None]] = {
        "disk": lambda: site.settings.store_directory if site.settings.store == "directory" else None,
        "staging": lambda: site.settings.staging_directory,
        "dhs": lambda: site.settings.dhs_directory,
    }
    places: dict[Path, tuple[str, float]] = {}
    for name, directory in own.items():
        path = directory()
        if path is not None:
            kind = "dhs" if name == "dhs" else "disk"
            places[path] = (kind, settings.disk_free_gb.get(str(path), settings.least_free_gb))
    for named, least in settings.disk_free_gb.items():
        places.setdefault(Path(named), ("disk", least))
    return places
