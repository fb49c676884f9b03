"""Free space of a site's directories; one whose mount hangs holds nobody up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fits_dagster.settings import SiteSettings
from fits_dagster.storage.mounts import DiskFigures, disk_figures

__all__ = ["disks_of", "site_directories"]

_PATIENCE_S: Final = 1.0


def site_directories(settings: SiteSettings) -> dict[str, Path]:
    """Return the directories that a site lives on, by what they are for."""
    places = {
        "dhs": settings.dhs_directory,
        "store": settings.store_directory if settings.store == "directory" else None,
        "staging": settings.staging_directory,
    }
    return {name: path for name, path in places.items() if path is not None}


def disks_of(directories: Mapping[str, Path]) -> Mapping[str, DiskFigures | None]:
    """Return what each directory's disk holds; None for one that cannot be read or does not answer."""
    return {name: _figures_of(path) for name, path in directories.items()}


def _figures_of(path: Path) -> DiskFigures | None:
    try:
        return disk_figures(path, seconds=_PATIENCE_S)
    except OSError:
        return None
