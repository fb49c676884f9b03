"""A whole system in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from sqlalchemy import URL, create_engine, text

from fits_dagster.database.server import database_url
from fits_dagster.settings import load_settings

PASSWORD = "A-long-passw0rd-for-tests"
#: A child of the worker is replaced after so many runs.
RUNS_OF_A_CHILD = 3

_RUN_TIMES = ("creationTime", "startTime", "endTime")
RUNS = """{ runsOrError(limit: 40) { ... on Runs { results {
    runId status jobName creationTime startTime endTime tags { key value } } } } }"""
_LINES_SHOWN = 60
#: Seconds between two looks at what is waited for: few at first, later more, since a look costs the system.
_FIRST_PAUSE_S, _LAST_PAUSE_S, _PAUSE_GROWS = 0.2, 1.0, 1.2
#: Lines of the daemon that tell nothing.
_QUIET_TICKS = ("is in hand", "an empty result", "sensor: archive_checks", "sensor: summit_checks")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a report how soon all was well, or the state of the whole system if it was not."""
    report = yield
    system = getattr(item, "funcargs", {}).get("system")
    if report.when == "call" and system is not None and system.recovered_s is not None:
        item.user_properties.append(("recovered_s", f"{system.recovered_s:.0f}"))
        system.recovered_s = None
    if report.when == "call" and report.failed and system is not None:
        try:
            report.sections.append(("the system", system.account()))
        except Exception as error:  # a system too broken to tell must not hide the failure itself
            report.sections.append(("the system", f"does not tell: {error!r}"))
    return report


def environment(home: Path) -> dict[str, str]:
    """Settings that make a system brisk, with ports that no other system of these tests takes."""
    port = 20_000 + 2 * (zlib.crc32(str(home).encode()) % 5_000)
    return dict(os.environ) | {
        "FITS_DAGSTER_SUMMIT__PORT": str(port),
        "FITS_DAGSTER_ARCHIVE__PORT": str(port + 1),
        "FITS_DAGSTER_HOME": str(home),
        "FITS_DAGSTER_WORK__LINGER_SECONDS": "3",
        "FITS_DAGSTER_WORK__LEASE_SECONDS": "5",
        "FITS_DAGSTER_WORK__WORKER_RECYCLE_RUNS": str(RUNS_OF_A_CHILD),
        "FITS_DAGSTER_SUMMIT__DHS_GIVE_UP_SECONDS": "2",
        # Celery's own: for so long a child of the worker stays without a run, seconds
        "AUTOSCALE_KEEPALIVE": "8",
    }


def command(*arguments: str) -> list[str]:
    """A ``fits-dagster`` command."""
    return [sys.executable, "-c", "from fits_dagster.cli import main; main()", *arguments]


def wait_until(
    condition: Callable[[], object],
    *,
    seconds: float,
    what: str,
    progress: Callable[[], object] = lambda: None,
) -> Any:
    """Wait for a condition; returns its value. The time begins anew whenever what is ``progress`` changes."""
    deadline = time.monotonic() + seconds
    seen, pause = progress(), _FIRST_PAUSE_S
    while True:
        value = condition()
        if value:
            return value
        if (now := progress()) != seen:
            seen, deadline = now, time.monotonic() + seconds
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(pause)
        pause = min(_LAST_PAUSE_S, pause * _PAUSE_GROWS)


def _run_line(run: dict[str, Any]) -> str:
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    times = [f"{datetime.fromtimestamp(t, UTC):%H:%M:%S}" if t else "-" for t in map(run.get, _RUN_TIMES)]
    unit = tags.get("fits_dagster/unit", "")
    return f"{run['runId'][:8]} {run['status']:10} {run['jobName']:24} {unit:24} {' '.join(times)}"


@dataclass
class RunningSystem:
    """A system that runs."""

    home: Path
    process: subprocess.Popen[str]
    urls: dict[str, str]
    #: How long after the end of a stream of files its last one arrived, seconds.
    recovered_s: float | None = None
    _browsers: dict[str, requests.Session] = field(default_factory=dict)

    @property
    def dhs(self) -> Path:
        return self.home / "dhs"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this home."""
        return subprocess.run(
            command(*arguments),
            env=environment(self.home),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """What ``fits-dagster status`` says."""
        answer: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return answer

    def browser(self, site: str) -> requests.Session:
        """A session of a staff member at a site, who signs in once."""
        if site not in self._browsers:
            session = requests.Session()
            form = {"username": "anna", "password": PASSWORD}
            session.post(f"{self.urls[site]}/login/", data=form, timeout=10).raise_for_status()
            self._browsers[site] = session
        return self._browsers[site]

    def graphql(self, site: str, query: str, **variables: object) -> Any:
        """Ask the Dagster UI of a site."""
        answer = self.browser(site).post(
            f"{self.urls[site]}/dagster/graphql", json={"query": query, "variables": variables}, timeout=30
        )
        answer.raise_for_status()
        return answer.json()["data"]

    def archived(self) -> dict[str, str]:
        """MD5 of the data of every file that the archive holds, by name."""
        answer = requests.get(f"{self.urls['archive']}/jsonfilelist/present", timeout=10)
        return {entry["name"]: entry["data_md5"] for entry in answer.json()}

    def associated(self, name: str, caltype: str) -> list[dict[str, Any]]:
        """The calibrations of a type that the archive's cache has for a file, best first."""
        answer = requests.get(f"{self.urls['archive']}/associatedcals/{name}/{caltype}", timeout=10)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def errors(self, site: str) -> dict[str, dict[str, Any]]:
        """Rows of all error columns of ``/queuestatus``, by file name."""
        url = f"{self.urls[site]}/queuestatus/json"
        queues = self.browser(site).post(url, json={}, timeout=10).json()
        return {row["filename"]: {**row, "queue": q["queue"]} for q in queues for row in q["errors"]}

    def account(self) -> str:
        """What a failed test is to show: processes, queues, runs, and the end of every log."""
        parts = [f"== status\n{self.run('status').stdout}"]
        runs = self.graphql("archive", RUNS)["runsOrError"]["results"]
        parts.append("== runs\n" + "\n".join(_run_line(run) for run in runs))
        for path in sorted((self.home / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()
            told = [line for line in lines if not line.endswith(_QUIET_TICKS)][-_LINES_SHOWN:]
            parts.append(f"== {path.name}\n" + "\n".join(told))
        return "\n\n".join(parts)

    def is_quiet(self) -> bool:
        """Whether nothing waits or runs."""
        return self.left() == 0

    def left(self) -> int:
        """Number of files that wait or are worked on, at all sites."""
        settings = load_settings(self.home)
        return sum(in_hand(database_url(settings, site)) for site in settings.sites)


def in_hand(url: URL) -> int:
    """Number of files that wait or are worked on at a site."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            query = text("select count(*) from work_item where state in ('waiting', 'running')")
            return int(connection.execute(query).scalar_one())
    finally:
        engine.dispose()


@contextmanager
def running_system(home: Path, **variables: str) -> Iterator[RunningSystem]:
    """Start ``fits-dagster up`` on a home; afterwards SIGTERM must end all that it started."""
    output = home / "up.log"
    known = environment(home) | variables
    with output.open("w") as log:
        process = subprocess.Popen(
            command("up"), env=known, stdout=log, stderr=log, text=True, start_new_session=True
        )
    try:
        wait_until(
            lambda: "Running." in output.read_text() or process.poll() is not None, seconds=150, what="start"
        )
        assert process.poll() is None, output.read_text()
        running = RunningSystem(home, process, json.loads((home / "up.json").read_text())["urls"])
        added = running.run("user", "add", "anna", "--staff", "--both", "--password", PASSWORD)
        assert added.returncode == 0, added.stderr
        yield running
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == []
        assert not (home / "postgresql" / "data" / "postmaster.pid").exists()
    finally:
        if process.poll() is None:
            process.kill()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A whole system."""
    with running_system(tmp_path_factory.mktemp("system")) as running:
        yield running
