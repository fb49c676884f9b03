"""Looking at the backups: is there one of each site, and is it young enough?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from fits_dagster.backup.dump import find_backups
from fits_dagster.doctor.finding import Finding, ok, warning
from fits_dagster.settings import Settings

__all__ = ["backups"]

#: A daily backup is older than this when one was missed.
_LONGEST: Final = timedelta(hours=36)


def backups(settings: Settings) -> Iterator[Finding]:
    """Look at the newest backup of each site below the home; another machine may hold others."""
    directory = settings.home / "backups"
    if not directory.is_dir():
        yield ok("backups", f"{directory} is not there: backups are made elsewhere, or not at all")
        return
    for site in settings.sites:
        newest = next(iter(find_backups(directory, site)), None)
        if newest is None:
            yield warning(site, f"{directory} holds no backup of it", "fits-dagster backup --verify")
            continue
        age = datetime.now(UTC) - newest.made_at
        said = f"the newest backup is of {newest.made_at:%Y-%m-%d %H:%M} UTC"
        if age > _LONGEST:
            yield warning(site, said, "look at the unit fits-backup, or run 'fits-dagster backup --verify'")
        else:
            yield ok(site, said)
