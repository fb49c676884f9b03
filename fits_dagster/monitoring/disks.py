"""Free space of a site's directories; one whose mount hangs holds nobody up."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fits_dagster.settings import SiteSettings

__all__ = ["DiskFigures", "Disks", "site_directories"]

_PATIENCE_S: Final = 1.0


@dataclass(frozen=True)
class DiskFigures:
    """Bytes of a file system."""

    size: int
    free: int


def site_directories(settings: SiteSettings) -> dict[str, Path]:
    """Return the directories that a site lives on, by what they are for."""
    places = {
        "dhs": settings.dhs_directory,
        "store": settings.store_directory if settings.store == "directory" else None,
        "staging": settings.staging_directory,
    }
    return {name: path for name, path in places.items() if path is not None}


class Disks:
    """Looks at directories, each in a thread that is left alone for as long as it hangs."""

    def __init__(self, directories: Mapping[str, Path]) -> None:
        self.directories = dict(directories)
        self._found: dict[str, DiskFigures | None] = dict.fromkeys(directories)
        self._threads: dict[str, threading.Thread] = {}

    def look(self) -> Mapping[str, DiskFigures | None]:
        """Return what each directory's disk holds; None for one that cannot be read or does not answer."""
        for name in self.directories:
            if name not in self._threads or not self._threads[name].is_alive():
                thread = threading.Thread(target=self._look_at, args=(name,), name="disk", daemon=True)
                self._threads[name] = thread
                thread.start()
        for name, thread in self._threads.items():
            thread.join(_PATIENCE_S)
            if thread.is_alive():
                self._found[name] = None
        return dict(self._found)

    def _look_at(self, name: str) -> None:
        try:
            # reading the directory wakes an automounter
            with os.scandir(self.directories[name]) as entries:
                next(entries, None)
            usage = shutil.disk_usage(self.directories[name])
        except OSError:
            self._found[name] = None
        else:
            self._found[name] = DiskFigures(usage.total, usage.free)
