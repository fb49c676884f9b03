"""Looking at the backups: is there one of each site, and is it young enough?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from fits_dagster.backup.places import open_place
from fits_dagster.backup.programs import BackupError
from fits_dagster.doctor.finding import Finding, ok, warning
from fits_dagster.settings import Settings

__all__ = ["backups"]

#: A daily backup is older than this when one was missed.
_LONGEST: Final = timedelta(hours=36)


def backups(settings: Settings) -> Iterator[Finding]:
    """Look at the newest backup of each site where the settings say; another machine may hold others."""
    directory = settings.home / "backups"
    if not settings.backups and not directory.is_dir():
        yield ok("backups", f"{directory} is not there: backups are made elsewhere, or not at all")
        return
    try:
        place = open_place(settings)
        kept = place.kept()
    except (BackupError, OSError) as error:
        yield warning("backups", str(error), "look at the setting backups, the network, the credentials")
        return
    for site in settings.sites:
        newest = next((each for each in kept if each.site == site), None)
        if newest is None:
            yield warning(site, f"{place.address} holds no backup of it", "fits-dagster backup --verify")
            continue
        age = datetime.now(UTC) - newest.made_at
        said = f"the newest backup is of {newest.made_at:%Y-%m-%d %H:%M} UTC"
        if age > _LONGEST:
            yield warning(site, said, "look at the unit fits-backup, or run 'fits-dagster backup --verify'")
        else:
            yield ok(site, said)
