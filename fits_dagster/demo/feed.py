"""Feeding a night into the DHS directory as the data handling system does: slowly, in place."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fits_dagster.simulator import write_slowly
from fits_dagster.storage.landing import md5_of

__all__ = ["FedFile", "Feeder", "choose_files", "prepare_night"]

_WRITERS = 4
_CHUNKS = 6
#: Seconds that the writing of one file takes, at most.
_LONGEST_WRITE_S = 2.0


@dataclass(frozen=True)
class FedFile:
    """A file that has been written completely."""

    name: str
    size: int
    md5: str
    #: When its last byte was written, seconds since the epoch.
    completed: float


@dataclass
class Feeder:
    """Writes files into a directory over a time, a few at once."""

    sources: Sequence[Path]
    directory: Path
    seconds: float
    fed: dict[str, FedFile] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    error: BaseException | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread = threading.Thread(target=self._run, name="dhs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the files in hand."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def is_done(self) -> bool:
        """Whether every file has been written."""
        return len(self.fed) == len(self.sources)

    def _run(self) -> None:
        began = time.monotonic()
        interval = self.seconds / max(1, len(self.sources))
        try:
            with ThreadPoolExecutor(_WRITERS) as writers:
                jobs = []
                for index, source in enumerate(self.sources):
                    if self._stop.wait(max(0.0, began + index * interval - time.monotonic())):
                        break
                    jobs.append(writers.submit(self._write, source, min(_LONGEST_WRITE_S, 3 * interval)))
                for job in jobs:
                    job.result()
        except OSError as error:
            self.error = error

    def _write(self, source: Path, seconds: float) -> None:
        if self._stop.is_set():
            return
        target = self.directory / source.name
        md5 = md5_of(source)
        write_slowly(source, target, seconds, _CHUNKS)
        self.fed[source.name] = FedFile(source.name, target.stat().st_size, md5, time.time())


def choose_files(directory: Path) -> list[Path]:
    """Return the files of a person's own night: every ``*.fits`` below a directory, one of each name.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    found: dict[str, Path] = {}
    for path in sorted(directory.rglob("*.fits")):
        if path.is_file() and "tmp" not in path.name:
            found.setdefault(path.name, path)
    if not found:
        raise FileNotFoundError(f"no *.fits files below {directory}")
    return list(found.values())


def prepare_night(
    directory: Path, files: int, instruments: Sequence[str], *, full_size: bool, summits: int = 1
) -> list[Path]:
    """Simulate a night; returns its files in the order of the night, of two summits half from each."""
    from fits_dagster.simulator import instruments_available, simulate_night

    if summits == 1:
        return simulate_night(directory, files=files, instruments=instruments or None, full_size=full_size)
    found: list[Path] = []
    for letter, share in (("N", files - files // 2), ("S", files // 2)):
        own = [name for name in instruments_available(letter) if not instruments or name in instruments]
        if own and share:
            found += simulate_night(directory, files=share, instruments=own, full_size=full_size)
    return found
