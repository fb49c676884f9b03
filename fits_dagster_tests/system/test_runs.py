"""Runs in a whole system: ended by a person, by the end of a worker, by themselves when they are perfect."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from fits_dagster.settings import load_settings
from fits_dagster_tests.system.conftest import RUNS_OF_A_CHILD, RunningSystem, wait_until
from fits_dagster_tests.system.stream import failed_runs, processes, runs, workers

pytestmark = pytest.mark.timeout(400)

RUNS = """{ runsOrError(limit: 60) { ... on Runs { results {
    runId jobName status tags { key value } } } } }"""
TERMINATE = """mutation($id: String!) { terminateRun(runId: $id) {
    __typename ... on TerminateRunFailure { message } } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
PLACES = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
    ... on EngineEvent { message } } } } }"""
STEPS = (
    """query($id: ID!) { runOrError(runId: $id) { ... on Run { status stepStats { stepKey status } } } }"""
)


def at_work(system: RunningSystem) -> list[dict[str, Any]]:
    found = system.graphql("summit", RUNS)["runsOrError"]["results"]
    return [run for run in found if run["status"] == "STARTED"]


def is_over(system: RunningSystem) -> bool:
    """Whether nothing waits, and all runs that were asked for have ended."""
    return system.is_quiet() and not runs(system, "NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING")


def feed(system: RunningSystem, source: Path, number: int) -> str:
    name = f"N{load_settings(system.home).summit.night_clock.tonight()!s}Z{number:04d}.fits"
    shutil.copy(source, system.dhs / name)
    return name


def test_the_first_file_wakes_all_stages_and_their_runs_end_green(
    system: RunningSystem, night: list[Path]
) -> None:
    name = feed(system, night[0], 1)
    wait_until(lambda: name in system.archived(), seconds=60, what="the file arrives")
    assert system.archived()[name] == hashlib.md5(night[0].read_bytes()).hexdigest()
    wait_until(lambda: is_over(system), seconds=60, what="the runs end when nothing comes")
    found = system.graphql("summit", RUNS)["runsOrError"]["results"]
    assert {run["status"] for run in found} == {"SUCCESS"}
    assert {run["jobName"] for run in found} >= {
        *(f"summit_{stage}" for stage in ("copy", "ingest", "export")),
        *(f"archive_{stage}" for stage in ("store", "ingest", "preview", "associate")),
    }


def test_a_run_that_a_person_terminates_is_canceled_and_leaves_no_process(
    system: RunningSystem, night: list[Path]
) -> None:
    feed(system, night[1], 2)
    run, *_ = wait_until(lambda: at_work(system), seconds=60, what="a run is at work")
    answer = system.graphql("summit", TERMINATE, id=run["runId"])["terminateRun"]
    assert answer["__typename"] == "TerminateRunSuccess", answer
    wait_until(lambda: run["runId"] in runs(system, "CANCELED"), seconds=20, what="it is canceled")
    # what it held has been released, and another run does it
    name = feed(system, night[2], 3)
    wait_until(lambda: name in system.archived(), seconds=60, what="the next file arrives")
    wait_until(system.is_quiet, seconds=60, what="nothing waits")
    assert failed_runs(system) == set()


def test_a_worker_that_is_asked_to_end_finishes_what_it_holds(
    system: RunningSystem, night: list[Path]
) -> None:
    names = [feed(system, source, 10 + index) for index, source in enumerate(night[3:9])]
    wait_until(lambda: at_work(system), seconds=60, what="runs are at work")
    parent, children = workers(system)
    began = time.monotonic()
    parent.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([parent, *children], timeout=20)
    print(f"the worker ended after {time.monotonic() - began:.1f} s")
    assert alive == []
    wait_until(lambda: set(names) <= set(system.archived()), seconds=120, what="all arrive")
    assert failed_runs(system) == set(), "runs end in good order"


def test_several_assets_of_a_night_are_made_again_in_one_run_op_after_op(
    system: RunningSystem, night: list[Path]
) -> None:
    name = feed(system, night[9], 30)
    wait_until(lambda: name in system.archived(), seconds=60, what="the file arrives")
    wait_until(system.is_quiet, seconds=60, what="nothing waits")
    label = str(load_settings(system.home).summit.night_clock.tonight())
    paths = [["archive", "observations"], ["archive", "previews"], ["archive", "calibration_associations"]]
    params = {
        "selector": {
            "repositoryName": "__repository__",
            "repositoryLocationName": "archive",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": path} for path in paths],
        },
        "mode": "default",
        "runConfigData": {"ops": {"ingest": {"config": {"force": True}}}},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": label}]},
    }
    answer = system.graphql("archive", LAUNCH, params=params)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    run_id = answer["run"]["runId"]
    wait_until(lambda: run_id in runs(system, "SUCCESS", "FAILURE"), seconds=120, what="the run has ended")
    run = system.graphql("archive", STEPS, id=run_id)["runOrError"]
    assert run["status"] == "SUCCESS"
    steps = {step["stepKey"]: step["status"] for step in run["stepStats"]}
    assert steps.keys() >= {"ingest", "preview", "associate"}
    assert set(steps.values()) == {"SUCCESS"}


def test_a_child_of_the_worker_is_replaced_after_a_number_of_runs(system: RunningSystem) -> None:
    wait_until(lambda: not at_work(system), seconds=60, what="no run is at work")
    served = Counter(process_of(system, run_id) for run_id in runs(system, "SUCCESS"))
    served.pop(None, None)
    assert len(served) > 1
    assert max(served.values()) <= RUNS_OF_A_CHILD


def process_of(system: RunningSystem, run_id: str) -> str | None:
    """Return the process that executed a run."""
    events = system.graphql("summit", PLACES, id=run_id)["logsForRun"]["events"]
    told = (re.search(r"in process \(pid: (\d+)\)", event.get("message", "")) for event in events)
    return next((found[1] for found in told if found), None)


def test_idle_children_of_the_worker_go(system: RunningSystem) -> None:
    wait_until(lambda: not at_work(system), seconds=60, what="no run is at work")
    wait_until(lambda: len(workers(system)[1]) <= 1, seconds=120, what="one child is left")
    assert processes(system, "guarded_worker") == []
