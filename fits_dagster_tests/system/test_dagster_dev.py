"""``dagster dev`` in the checkout, alone: it starts what it needs, and remembers what it did."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from fits_dagster.settings import load_settings
from fits_dagster.system.ports import free_port
from fits_dagster_tests.system.conftest import command, environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
RUNS = "{ runsOrError { ... on Runs { results { runId jobName status } } } }"
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


@contextmanager
def dagster_dev(home: Path) -> Iterator[str]:
    """Run `dagster dev` in the checkout; yields the address of its UI. Ctrl-C must end all of it."""
    port = free_port()
    variables = {k: v for k, v in environment(home).items() if k != "DAGSTER_HOME"}
    with (home.parent / "dev.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)],
            cwd=ROOT,
            env=variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # a shell's background job ignores Ctrl-C, and so would all that it begins
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.poll() is not None or _answers(url), seconds=150, what="the UI answers")
        assert process.poll() is None, (home.parent / "dev.log").read_text()
        yield url
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGINT)
        process.wait(90)
        _, alive = psutil.wait_procs(family, timeout=40)
        for left in alive:
            left.kill()
    assert alive == []


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/server_info", timeout=2).ok
    except requests.RequestException:
        return False


def ask(url: str, query: str, **variables: object) -> Any:
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=30)
    return answer.json()["data"]


def runs(url: str) -> dict[str, tuple[str, str]]:
    return {r["runId"]: (r["jobName"], r["status"]) for r in ask(url, RUNS)["runsOrError"]["results"]}


def archived(home: Path) -> set[str]:
    url = json.loads((home / "up.json").read_text())["urls"]["archive"]
    return {entry["name"] for entry in requests.get(f"{url}/jsonfilelist/present", timeout=10).json()}


def test_dagster_dev_works_alone_and_remembers(tmp_path: Path, night: list[Path]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with dagster_dev(home) as url:
        settings = load_settings(home)
        label = str(settings.summit.night_clock.tonight())
        name = f"N{label}S0001.fits"
        shutil.copy(night[0], home / "dhs" / name)
        wait_until(lambda: name in archived(home), seconds=90, what="the file arrives: sensors tick")

        second = subprocess.run(
            command("up"), env=environment(home), capture_output=True, text=True, timeout=60, check=False
        )
        assert second.returncode == 1
        assert "already running" in second.stderr and "dagster dev" in second.stderr

        params = {
            "assetSelection": [{"path": ["summit", "observations"]}],
            "partitionNames": [label],
            "tags": [{"key": "fits_dagster/force", "value": "true"}],
        }
        launched = ask(url, BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        wait_until(
            lambda: any(job == "__ASSET_JOB" and status == "SUCCESS" for job, status in runs(url).values()),
            seconds=120,
            what="the backfill's run is green",
        )
        before = runs(url)
    assert not (home / "up.json").exists(), "what it started has ended with it"
    with dagster_dev(home) as url:
        assert before.keys() <= runs(url).keys(), "what it did is still there"
        assert archived(home) == {name}
