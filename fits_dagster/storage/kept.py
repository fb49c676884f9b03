"""Local copies of objects that the next stage asks for: each is fetched once, not once for every stage."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from fits_dagster.storage.base import ObjectInfo

__all__ = ["KeptCopies", "version_of"]

#: Where nobody asked for a copy so long, seconds, the next stage is paused, or done elsewhere.
_LONGEST_S: Final = 3600.0
#: What was written before a machine went down may not have reached its disk.
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class KeptCopies:
    """A directory of verified copies; who takes one takes it away.

    Nothing depends on a copy: one that is not there is fetched.

    Parameters
    ----------
    directory
        On the disk that objects are fetched to; made when it is first needed.
    most_bytes
        Room for all copies, which never take more than half of what is free; the oldest give way.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes

    def take(self, key: str, version: str, target: Path) -> bool:
        """Move the copy of a version (`version_of`) of an object to a place; tells whether there was one."""
        try:
            self._place(key, version).rename(target)
        except OSError:
            return False
        return True

    def give(self, info: ObjectInfo, copy: Path) -> None:
        """Take over a file that holds this version of an object, or remove it where there is no room."""
        if info.size <= self._most_bytes:
            # one that cannot be kept is fetched again
            with suppress(OSError):
                self._directory.mkdir(parents=True, exist_ok=True)
                # the time is that of its coming
                os.utime(copy)
                copy.rename(self._place(info.key, version_of(info)))
                self.sweep()
        copy.unlink(missing_ok=True)

    def sweep(self, now: float | None = None) -> None:
        """Remove copies that nobody has asked for in an hour, and the oldest where they need too much room.

        Parameters
        ----------
        now
            Time by which ages are counted, seconds since 1970; default: now.
        """
        oldest = (time.time() if now is None else now) - _LONGEST_S
        copies: list[tuple[float, int, str]] = []
        with suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            for entry in entries:
                # another process may take it now
                with suppress(FileNotFoundError):
                    stat = entry.stat(follow_symlinks=False)
                    copies.append((stat.st_mtime, stat.st_size, entry.path))
        if not copies:
            return
        free = shutil.disk_usage(self._directory).free + sum(size for _, size, _ in copies)
        room = min(self._most_bytes, free // 2)
        for modified, size, path in sorted(copies, reverse=True):
            room -= size
            if room < 0 or modified < oldest:
                Path(path).unlink(missing_ok=True)

    def _place(self, key: str, version: str) -> Path:
        name = f"{_BOOT.read_text()} {version} {key}"
        return self._directory / hashlib.sha256(name.encode()).hexdigest()


def version_of(info: ObjectInfo) -> str:
    """Return what tells a version of an object from others: its MD5, or else all that is known of it."""
    return info.md5 or str(info)
