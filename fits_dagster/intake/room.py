"""Room on the disk that files come to: without it, intake stops and waits, and nothing fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from fits_dagster.ledger.stage import NotReady
from fits_dagster.sites import Site

__all__ = ["intake_directory", "require_room"]

#: Seconds until the next look.
_LOOK_AGAIN_S: Final = 10.0
_MEGABYTE: Final = 1_000_000


def intake_directory(site: Site) -> Path | None:
    """Return the directory that a site takes files into: from the DHS the store, from uploads the staging."""
    if site.settings.dhs_directory is not None:
        return site.settings.store_directory
    return site.settings.staging_directory


def require_room(site: Site, directory: Path, size: int) -> None:
    """Make sure that a file fits and leaves what must stay free.

    Parameters
    ----------
    size
        Bytes of the file.

    Raises
    ------
    NotReady
        It does not fit now (``disk_full``).
    """
    free, least = shutil.disk_usage(directory).free, site.settings.min_free_bytes
    if free - size < least:
        raise NotReady(
            "disk_full",
            f"{free / _MEGABYTE:.0f} MB free in {directory}: {size / _MEGABYTE:.0f} MB more would leave less "
            f"than {least / _MEGABYTE:.0f} MB; it is taken in when there is room",
            delay=_LOOK_AGAIN_S,
        )
