"""``fits-dagster status``: a system in five lines, and one for each backlog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy.exc import DBAPIError

from fits_dagster.broker import BrokerError, wait_for_broker
from fits_dagster.database.server import runs_at_work
from fits_dagster.ledger.management import paused_stages
from fits_dagster.ledger.pending import Backlog, QueueDepth, backlogs, queue_depths
from fits_dagster.ledger.views import last_files
from fits_dagster.settings import Settings, SiteName
from fits_dagster.sites import open_site
from fits_dagster.stages.registry import arrivals, stages_of
from fits_dagster.system.home import RunningSystem, read_running
from fits_dagster.system.ports import is_listening

__all__ = ["SystemStatus", "system_status"]


#: Name and time of the file that passed last.
_Passed: TypeAlias = tuple[str, datetime] | None

_EMPTY: Final = QueueDepth("", 0, 0, 0)


@dataclass
class SystemStatus:
    """What was found."""

    home: str
    running: RunningSystem | None
    parts: Mapping[str, bool] = field(default_factory=dict)
    queues: dict[SiteName, Mapping[str, QueueDepth]] = field(default_factory=dict)
    #: Runs whose process lives.
    runs: int = 0
    last_in: _Passed = None
    last_out: _Passed = None
    paused: dict[SiteName, dict[str, str]] = field(default_factory=dict)
    backlogs: dict[SiteName, Sequence[Backlog]] = field(default_factory=dict)
    problem: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the system runs."""
        return self.running is not None

    def lines(self) -> list[str]:
        """Write it for people."""
        if self.running is None:
            head = f"not running ({self.home})"
        else:
            parts = ", ".join(f"{name} {'up' if up else 'DOWN'}" for name, up in self.parts.items())
            head = f"running (process {self.running.pid}): {parts}; {self.runs} Dagster runs at work"
        lines = [head]
        for site, depths in self.queues.items():
            lines.append(f"{site}: " + _depths(depths))
        failed = sum(d.failed for depths in self.queues.values() for d in depths.values())
        paused = [f"{site} {stage}" for site, stages in self.paused.items() for stage in stages]
        notes = [f"paused: {', '.join(paused)}"] if paused else []
        notes += [self.problem] if self.problem else []
        lines.append("; ".join([f"failed: {failed}", *notes]))
        lines += [f"backlog: {site} {each}" for site, found in self.backlogs.items() for each in found]
        lines.append(f"last file in: {_last(self.last_in)}; last file archived: {_last(self.last_out)}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        return {
            "home": self.home,
            "running": self.is_running,
            "urls": dict(self.running.urls) if self.running else {},
            "parts": dict(self.parts),
            "queues": {
                site: {
                    stage: {"waiting": d.waiting, "running": d.running, "failed": d.failed}
                    for stage, d in depths.items()
                }
                for site, depths in self.queues.items()
            },
            "runs": self.runs,
            "paused": {site: list(stages) for site, stages in self.paused.items()},
            "backlogs": {
                site: [{**vars(each), "seconds_left": each.seconds} for each in found]
                for site, found in self.backlogs.items()
            },
            "last_in": self.last_in,
            "last_out": self.last_out,
            "problem": self.problem,
        }


def system_status(settings: Settings) -> SystemStatus:
    """Look at a system; nothing is started for it."""
    running = read_running(settings)
    found = SystemStatus(str(settings.home), running)
    if running is not None:
        parts = {
            f"{site} web": is_listening(int(url.rsplit(":", 1)[1])) for site, url in running.urls.items()
        }
        parts |= {f"{site} code": is_listening(Path(path)) for site, path in running.code_sockets.items()}
        found.parts = parts
        try:
            found.runs = runs_at_work(settings)
            wait_for_broker(settings, seconds=0)
            parts["broker"] = True
        except (DBAPIError, FileNotFoundError) as error:
            found.problem = f"Dagster's database: {str(error).splitlines()[0]}"
        except BrokerError:
            parts["broker"] = False
    for site in settings.sites:
        try:
            opened = open_site(settings, site)
            try:
                with opened.engine.connect() as connection:
                    depths = queue_depths(connection)
                    stages = [stage.name for stage in stages_of(opened.settings)]
                    found.queues[site] = {
                        stage: depths.get(stage, _EMPTY) for stage in dict.fromkeys([*stages, *depths])
                    }
                    found.paused[site] = paused_stages(connection)
                    found.backlogs[site] = backlogs(connection)
                    if opened.settings.dhs_directory is not None:
                        found.last_in = _later(found.last_in, last_files(connection, stages[0]))
                    if not opened.settings.export_destinations:
                        last = last_files(connection, arrivals(opened.settings)[0].name)
                        found.last_out = _later(found.last_out, last)
            finally:
                opened.close()
        except (DBAPIError, FileNotFoundError) as error:
            found.problem = f"{site} database: {str(error).splitlines()[0]}"
    return found


def _depths(depths: Mapping[str, QueueDepth]) -> str:
    return ", ".join(
        f"{stage} {d.waiting} waiting {d.running} running {d.failed} failed" for stage, d in depths.items()
    )


def _later(one: _Passed, other: _Passed) -> _Passed:
    return max((each for each in (one, other) if each), key=lambda each: each[1], default=None)


def _last(last: _Passed) -> str:
    if last is None:
        return "none"
    age = (datetime.now(UTC) - last[1]).total_seconds()
    return f"{last[0]} ({age:.0f} s ago)"
