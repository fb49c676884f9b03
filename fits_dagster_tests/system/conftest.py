"""A whole system in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

PASSWORD = "A-long-passw0rd-for-tests"


def environment(home: Path) -> dict[str, str]:
    """Settings that make a system brisk."""
    return dict(os.environ) | {
        "FITS_DAGSTER_HOME": str(home),
        "FITS_DAGSTER_WORK__LINGER_SECONDS": "3",
        "FITS_DAGSTER_WORK__LEASE_SECONDS": "5",
        "FITS_DAGSTER_SUMMIT__DHS_GIVE_UP_SECONDS": "2",
    }


def command(*arguments: str) -> list[str]:
    """A ``fits-dagster`` command."""
    return [sys.executable, "-c", "from fits_dagster.cli import main; main()", *arguments]


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> Any:
    """Wait for a condition; returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.3)


@dataclass
class RunningSystem:
    """A system that runs."""

    home: Path
    process: subprocess.Popen[str]
    urls: dict[str, str]

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
        """A session of a staff member at a site."""
        session = requests.Session()
        form = {"username": "anna", "password": PASSWORD}
        session.post(f"{self.urls[site]}/login/", data=form, timeout=10).raise_for_status()
        return session

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

    def errors(self, site: str) -> dict[str, dict[str, Any]]:
        """Rows of all error columns of ``/queuestatus``, by file name."""
        url = f"{self.urls[site]}/queuestatus/json"
        queues = self.browser(site).post(url, json={}, timeout=10).json()
        return {row["filename"]: {**row, "queue": q["queue"]} for q in queues for row in q["errors"]}

    def is_quiet(self) -> bool:
        """Whether nothing waits or runs."""
        queues = self.status()["queues"]
        return not any(q["waiting"] or q["running"] for site in queues.values() for q in site.values())


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """Start ``fits-dagster up``; afterwards SIGTERM must end all that it started."""
    home = tmp_path_factory.mktemp("system")
    output = home / "up.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            command("up"), env=environment(home), stdout=log, stderr=log, text=True, start_new_session=True
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
