"""What a backfill of many old nights costs the files that come meanwhile."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import requests
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.latency import measure_latency
from fits_dagster.cli.paths import progress_bar
from fits_dagster.database.server import stop_embedded_server
from fits_dagster.ledger.loop import drain
from fits_dagster.requeue.rescan import rescan
from fits_dagster.settings import Settings
from fits_dagster.simulator import simulate_night
from fits_dagster.sites import Site, opened_site
from fits_dagster.stages import ingest
from fits_dagster.system.database import prepare_databases
from fits_dagster.system.home import ensure_directories
from fits_dagster.system.up import System
from fits_dagster.web.accounts import add_user, generate_password

__all__ = ["measure_backfill", "print_backfill"]

_AIM: Final = 1.5
_FIRST: Final = date(2015, 1, 1)
_ASSETS: Final = ("dataflow_files", "header_updates", "observations", "exports")
#: Files that the backfill has done when the measurement begins.
_UNDER_WAY: Final = 20
_START_S: Final = 180.0
_LOOK_S: Final = 1.0

_LAUNCH: Final = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
_STATE: Final = """
query State($key: String!) {
  partitionBackfillOrError(backfillId: $key) { __typename ... on PartitionBackfill { status } }
}
"""


@dataclass
class _Backfill:
    """A backfill of old nights of the summit, with ``force``."""

    nights: int
    files_per_night: int
    home: Path | None
    to_the_end: bool = False
    begun: datetime | None = None
    done: dict[str, float] = field(default_factory=dict)
    _person: requests.Session = field(default_factory=requests.Session)
    _key: str = ""

    @property
    def labels(self) -> list[str]:
        return [f"{_FIRST + timedelta(days=day):%Y%m%d}" for day in range(self.nights)]

    def prepare(self, settings: Settings) -> None:
        """Give both sites the old nights: on their disks and in their databases, nothing to be done."""
        ensure_directories(settings)
        store, archive = settings.summit.store_directory, settings.archive.store_directory
        assert store is not None and archive is not None
        with tempfile.TemporaryDirectory(prefix="fits-dagster-nights-", dir=self.home) as name:
            sources = simulate_night(Path(name), files=self.files_per_night, night="20150101")
            first = [store / f"N{self.labels[0]}S{number:04d}.fits" for number in range(1, len(sources) + 1)]
            for source, target in zip(sources, first, strict=True):
                shutil.copyfile(source, target)
        for label in self.labels:
            for number, target in enumerate(first, 1):
                name = f"N{label}S{number:04d}.fits"
                if label != self.labels[0]:
                    (store / name).hardlink_to(target)
                (archive / name).hardlink_to(target)
        # they have been exported, and have their previews, for long
        done = {
            **{"export_destinations": (), "using_previews": False, "using_calibration_cache": False},
            # their bytes are a moment old
            "defer_seconds": 0.0,
        }
        alone = settings.with_sites(
            summit=settings.summit.model_copy(update=done), archive=settings.archive.model_copy(update=done)
        )
        prepare_databases(settings)
        try:
            for name in alone.sites:
                with opened_site(alone, name) as site:
                    queued, report = rescan(site).changed, drain(site, ingest.STAGE)
                if report.done != queued:
                    raise RuntimeError(f"only {report.done} of {queued} old files went in at the {name}")
        finally:
            if not settings.database_url:
                stop_embedded_server(settings)

    def launch(self, system: System) -> None:
        """Ask the Dagster UI for the backfill, as a person does, and wait until it is under way."""
        password = generate_password()
        with opened_site(system.settings, "summit") as summit:
            add_user(summit.engine, "backfill", password, role="operator")
            form = {"username": "backfill", "password": password}
            url = f"{system.urls['summit']}/login/"
            self._person.post(url, data=form, timeout=30).raise_for_status()
            params = {
                "assetSelection": [{"path": ["summit", asset]} for asset in _ASSETS],
                "partitionNames": self.labels,
                "tags": [{"key": "fits_dagster/force", "value": "true"}],
                "title": "bench",
            }
            launched = self._ask(system, _LAUNCH, params=params)["launchPartitionBackfill"]
            if launched["__typename"] != "LaunchBackfillSuccess":
                raise RuntimeError(f"the backfill was refused: {launched}")
            self._key = launched["backfillId"]
            self.begun = datetime.now(UTC)
            deadline = time.monotonic() + _START_S
            while self._ingested(summit) < _UNDER_WAY:
                system.look()
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the backfill did not begin within {_START_S:.0f} s")
                time.sleep(0.5)
            self.done["at_the_first_live_file"] = self._ingested(summit)

    def look(self, system: System) -> None:
        """Note how far it has come beside the live files, and wait for its end where that is asked."""
        assert self.begun is not None
        with opened_site(system.settings, "summit") as summit:
            self.done["at_the_last_live_file"] = self._ingested(summit)
            self.done["seconds"] = round((datetime.now(UTC) - self.begun).total_seconds(), 1)
            if self.to_the_end:
                self._follow(system, summit)

    def _follow(self, system: System, summit: Site) -> None:
        """Wait until every file is done and Dagster calls the backfill ended; what it took, by itself."""
        assert self.begun is not None
        whole, done, moved = self.nights * self.files_per_night, 0, time.monotonic()
        first, began, busy = self._ingested(summit), time.monotonic(), psutil.cpu_times()
        with progress_bar(Console(stderr=True)) as bar:
            task = bar.add_task("files of the backfill", total=whole)
            while (ended := self._ended(system)) is None or done < whole:
                system.look()
                if (now := self._ingested(summit)) != done:
                    done, moved = now, time.monotonic()
                bar.update(task, completed=done)
                if time.monotonic() > moved + _START_S:
                    raise RuntimeError(f"the backfill stands still at {done} of {whole} files ({ended})")
                if done >= whole and "rate" not in self.done:
                    seconds, used = time.monotonic() - began, psutil.cpu_times()
                    idle = (used.idle + used.iowait) - (busy.idle + busy.iowait)
                    self.done["rate"] = round((done - first) / seconds, 1)
                    self.done["processors_busy"] = round(1 - idle / seconds / (os.cpu_count() or 1), 2)
                time.sleep(_LOOK_S)
        self.done["whole_seconds"] = round((datetime.now(UTC) - self.begun).total_seconds(), 1)
        if ended != "COMPLETED_SUCCESS":
            raise RuntimeError(f"the backfill ended as {ended}")

    def _ended(self, system: System) -> str | None:
        """Return the state in which Dagster ended the backfill, and None while it has not."""
        found = self._ask(system, _STATE, key=self._key)["partitionBackfillOrError"]
        state = str(found.get("status"))
        return state if state.startswith(("COMPLETED", "FAILED", "CANCELED")) else None

    def _ask(self, system: System, query: str, **variables: object) -> dict[str, Any]:
        answer = self._person.post(
            f"{system.urls['summit']}/dagster/graphql",
            json={"query": query, "variables": variables},
            timeout=120,
        )
        if not answer.ok:
            raise RuntimeError(f"{answer.url} answered {answer.status_code}: {answer.text[:500]}")
        return dict(answer.json()["data"])

    def _ingested(self, summit: Site) -> int:
        with summit.engine.connect() as connection:
            return int(
                connection.scalar(
                    text(
                        "select count(*) from event where stage = 'ingest' and outcome = 'ingested' "
                        "and at >= :begun and night = any(:nights)"
                    ),
                    {"begun": self.begun, "nights": self.labels},
                )
                or 0
            )


def measure_backfill(
    home: Path | None,
    *,
    nights: int = 300,
    files_per_night: int = 10,
    files: int = 40,
    seconds: float = 20.0,
    to_the_end: bool = False,
    rounds: int = 3,
) -> dict[str, Any]:
    """Time the files of tonight, alone and while a backfill of old nights is under way, in turns.

    Parameters
    ----------
    home
        Directory below which the homes are made; by default that of temporary files.
    nights, files_per_night
        What the backfill ingests again, with ``force``.
    files, seconds
        Live files, and the time over which they are fed.
    to_the_end
        Wait until the last backfill has ended, and tell its rate by itself, after the live files.
    rounds
        So often each: the 95th percentile of forty files is the third longest, and differs by chance.

    Returns
    -------
    dict
        Ready for JSON: latency to the archive's preview without and with the backfill, seconds (medians over
        the rounds, and the longest of all), and the ratio of the 95th percentiles: its median, and each.
    """
    alone, beside = [], []
    for turn in range(rounds):
        alone.append(measure_latency(home, files=files, seconds=seconds))
        backfill = _Backfill(nights, files_per_night, home, to_the_end and turn == rounds - 1)
        beside.append(
            measure_latency(
                home,
                files=files,
                seconds=seconds,
                first_night=backfill.labels[0],
                prepare=backfill.prepare,
                before=backfill.launch,
                after=backfill.look,
            )
        )
    ratios = sorted(_p95_of(w) / _p95_of(a) for a, w in zip(alone, beside, strict=True) if _p95_of(a))
    # a round in which nothing arrived has no ratio that would flatter the others
    is_whole = all(_p95_of(each) for each in (*alone, *beside))
    ratio = statistics.median(ratios) if is_whole else None
    both = [*alone, *beside]
    return {
        "bench": "backfill",
        "nights": nights,
        "files_of_the_backfill": nights * files_per_night,
        "live_files": files,
        "without": _over_rounds(alone),
        "with": _over_rounds(beside),
        "ratio_p95": round(ratio, 2) if ratio is not None else None,
        "ratios_p95": [round(each, 2) for each in ratios],
        "backfill": backfill.done,
        "missing": sum(each["missing"] for each in both),
        "altered": sum(each["altered"] for each in both),
        "timed_out": any(each["timed_out"] for each in both),
        "aim": f"p95 with the backfill <= {_AIM} x without",
        "reached": ratio is not None and ratio <= _AIM,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _p95_of(figures: dict[str, Any]) -> float:
    return float(figures["latency"]["archive_preview"]["p95_s"] or 0.0)


def _over_rounds(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    latencies = [each["latency"]["archive_preview"] for each in rounds]
    median_s, p95_s = (
        statistics.median(float(each[key] or 0.0) for each in latencies) for key in ("median_s", "p95_s")
    )
    return {
        "median_s": median_s,
        "p95_s": p95_s,
        "max_s": max(float(each["max_s"] or 0.0) for each in latencies),
    }


def print_backfill(figures: dict[str, Any], console: Console) -> None:
    """Show the figures as a table."""
    table = Table("from complete on the DHS to the preview", "median s", "p95 s", "max s")
    for name in ("without", "with"):
        cells = (f"{figures[name][key]:.1f}" for key in ("median_s", "p95_s", "max_s"))
        table.add_row(f"{name} the backfill", *cells)
    console.print(table)
    done = figures["backfill"]
    came = done["at_the_last_live_file"] - done["at_the_first_live_file"]
    console.print(
        f"ratio of p95: {figures['ratio_p95']}, of the rounds {figures['ratios_p95']} ({figures['aim']}); "
        f"the backfill did {came} of "
        f"{figures['files_of_the_backfill']} files meanwhile; {figures['cores']} cores, load average "
        f"{figures['load_average']}",
        style="dim",
        highlight=False,
    )
    if "whole_seconds" in done:
        console.print(
            f"the backfill ended after {done['whole_seconds']:.0f} s; by itself {done['rate']} files "
            f"a second, the processors {done['processors_busy']:.0%} busy",
            highlight=False,
        )
