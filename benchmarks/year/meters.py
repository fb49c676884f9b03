"""What the year costs: by stretches of nights, so that the last can be compared with the first."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, text

from benchmarks.idle import usage_by_process
from fits_dagster.database.server import dagster_url
from fits_dagster.sites import Site
from fits_dagster.system.up import System

__all__ = ["Meters", "Stretch"]

_SAMPLE_EVERY_S: Final = 20.0
_OWN: Final = "up"
_WORKER, _READER = "worker", "reader of files"
_COUNTED: Final = ("runs", "run_tags", "event_logs", "asset_check_executions", "job_ticks")
_SIZE = text("select pg_database_size(current_database())")
_STAGES = text("""
    select stage, count(*) as files, coalesce(sum(seconds), 0)::float as seconds from event
    where at >= :begin and at < :end and outcome not in ('failed', 'retrying')
    group by stage order by stage""")


@dataclass
class Stretch:
    """Some nights in a row."""

    first: str
    last: str = ""
    nights: int = 0
    #: Files given to the telescope's directory.
    files: int = 0
    seconds: float = 0.0
    #: Processor seconds of the system, by kind of process, and of this program itself, which plays the
    #: telescope and the people.
    processor: dict[str, float] = field(default_factory=dict)
    own_processor: float = 0.0
    #: Seconds of wall clock time of one file, by site and stage.
    stages: dict[str, float] = field(default_factory=dict)
    #: How often each stage was done, by site.
    done: dict[str, int] = field(default_factory=dict)
    #: Seconds of what is done each morning, for one night.
    upkeep: dict[str, float] = field(default_factory=dict)
    #: Largest proportional set size of a process of each kind, MB (10^6 bytes), and largest sum of all.
    memory: dict[str, float] = field(default_factory=dict)
    memory_sum: float = 0.0
    #: Most processes at once.
    processes: int = 0
    #: At its end: bytes of the databases and of the home's directories, and rows of Dagster's tables.
    bytes: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def seconds_per_file(self) -> float:
        """Wall clock time."""
        return self.seconds / max(1, self.files)

    @property
    def processor_per_file(self) -> float:
        """Processor time of the system."""
        return sum(self.processor.values()) / max(1, self.files)

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        derived = {"seconds_per_file": self.seconds_per_file, "processor_per_file": self.processor_per_file}
        rounded: dict[str, Any] = _rounded({**asdict(self), **derived})
        return rounded


class Meters:
    """Measures a running system, stretch by stretch."""

    def __init__(self, system: System, sites: Mapping[str, Site], stretches: list[Stretch]) -> None:
        self._system, self._sites = system, sites
        self._dagster: Engine = create_engine(
            dagster_url(system.settings).set(drivername="postgresql+psycopg")
        )
        #: Those of earlier parts, and those that are added here.
        self.stretches = stretches
        self._sampled = 0.0
        self._begun = time.monotonic()
        self._begun_at = datetime.now(UTC)
        self._before: dict[str, float] = {}

    def begin(self, night: str) -> None:
        """Begin a stretch."""
        self.stretches.append(Stretch(night))
        self._begun, self._begun_at = time.monotonic(), datetime.now(UTC)
        self._before = self._processor()

    def sample(self) -> None:
        """Look at the memory of all processes, now and then."""
        if not self.stretches or time.monotonic() - self._sampled < _SAMPLE_EVERY_S:
            return
        self._sampled = time.monotonic()
        stretch, total = self.stretches[-1], 0.0
        found = usage_by_process(self._system).values()
        stretch.processes = max(stretch.processes, len(found))
        for usage in found:
            total += usage.pss_mb
            stretch.memory[usage.name] = max(stretch.memory.get(usage.name, 0.0), usage.pss_mb)
        stretch.memory_sum = max(stretch.memory_sum, total)

    def spent(self, what: str, seconds: float) -> None:
        """Note the time of something that is done each morning."""
        upkeep = self.stretches[-1].upkeep
        upkeep[what] = upkeep.get(what, 0.0) + seconds

    def end(self) -> None:
        """End the stretch, if one has begun."""
        if not self.stretches:
            return
        stretch = self.stretches[-1]
        stretch.seconds = time.monotonic() - self._begun
        now = self._processor()
        spent = {kind: value - self._before.get(kind, 0.0) for kind, value in now.items()}
        stretch.own_processor = sum(value for kind, value in spent.items() if kind.startswith(_OWN))
        stretch.processor = {kind: value for kind, value in spent.items() if not kind.startswith(_OWN)}
        stretch.upkeep = {what: value / max(1, stretch.nights) for what, value in stretch.upkeep.items()}
        values = {"begin": self._begun_at, "end": datetime.now(UTC)}
        for name, site in self._sites.items():
            with site.engine.connect() as connection:
                for row in connection.execute(_STAGES, values):
                    stretch.stages[f"{name} {row.stage}"] = row.seconds / row.files
                    stretch.done[f"{name} {row.stage}"] = row.files
                stretch.bytes[f"database {name}"] = int(connection.scalar(_SIZE) or 0)
        with self._dagster.connect() as connection:
            stretch.bytes["database dagster"] = int(connection.scalar(_SIZE) or 0)
            for table in _COUNTED:
                stretch.rows[table] = int(connection.scalar(text(f"select count(*) from {table}")) or 0)
        stretch.bytes |= _directories(self._system.settings.home)

    def close(self) -> None:
        """Let go of the connections."""
        self._dagster.dispose()

    def _processor(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for usage in usage_by_process(self._system).values():
            # the time of a reader that has ended is its worker's
            name = _WORKER if usage.name in (_WORKER, _READER) else usage.name
            found[name] = found.get(name, 0.0) + usage.cpu_s
        return found


def _directories(home: Path) -> dict[str, int]:
    """Return the bytes of the parts of a home."""
    places = [home / name for name in ("postgresql", "logs", "dagster")]
    places += [path for site in ("summit", "archive") for path in sorted((home / site).glob("*"))]
    return {f"home {path.relative_to(home)}": _size(path) for path in places if path.is_dir()}


def _size(path: Path) -> int:
    total = 0
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    total += _size(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    return total


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
