"""The whole system: separate processes, real HTTP, files that are broken, processes that are killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, expect

from fits_dagster.system.ports import free_port
from fits_dagster_tests.system.conftest import PASSWORD, RunningSystem, environment, wait_until
from fits_dagster_tests.system.stream import processes

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).resolve().parents[2]

RUNS = """{ runsOrError { ... on Runs { results {
    runId jobName status tags { key value } } } } }"""
FAILURES = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
    __typename ... on ExecutionStepFailureEvent { stepKey failureMetadata { metadataEntries { label
       ... on TableMetadataEntry { table { records } } ... on MarkdownMetadataEntry { mdStr } } } } } } } }"""
CHECKS = """{ assetNodeOrError(assetKey: {path: ["archive", "calibration_associations"]}) { ... on AssetNode {
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
        evaluation { success severity } } } } } } } }"""
AGAIN = """mutation($p: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } } }"""


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def runs(system: RunningSystem, job: str) -> list[dict[str, Any]]:
    found = system.graphql("summit", RUNS)["runsOrError"]["results"]
    return [run for run in found if run["jobName"] == job]


def test_a_second_up_on_the_same_home_says_so_and_ends(system: RunningSystem) -> None:
    second = system.run("up")
    assert second.returncode == 1
    assert "already running" in second.stderr


def test_dagster_dev_beside_a_running_system_says_who_is_there(system: RunningSystem) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "dev", "-p", str(free_port())],
        cwd=ROOT,
        env={k: v for k, v in environment(system.home).items() if k != "DAGSTER_HOME"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert f"fits-dagster up, process {system.process.pid}" in done.stderr.replace("\n", " ")


def test_status_says_what_runs(system: RunningSystem) -> None:
    status = system.status()
    assert status["running"] is True
    assert all(status["parts"].values())
    assert len(system.run("status").stdout.strip().splitlines()) == 5


def test_bad_files_are_told_and_hold_nobody_up_and_are_mended_by_a_re_execution(
    system: RunningSystem, night: list[Path]
) -> None:
    for source in night[:5]:
        shutil.copy(source, system.dhs)
    bad = {
        "N20251123S0901.fits": (night[0].read_bytes()[:-5000], "truncated"),
        "N20251123S0902.fits": (b"this is no FITS file\n" * 300, "not_fits"),
        "N20251123S0903.fits": (
            night[1]
            .read_bytes()
            .replace(b"BITPIX  =                   16", b"BITPIX  =                  abc", 1),
            "bad_header",
        ),
    }
    for name, (content, _) in bad.items():
        (system.dhs / name).write_bytes(content)
    wait_until(lambda: len(system.archived()) == 5, seconds=120, what="the good files arrive")
    assert system.archived() == {p.name: md5(p) for p in night[:5]}
    errors = system.errors("summit")
    assert {name: row["reason"] for name, row in errors.items()} == {n: r for n, (_, r) in bad.items()}
    truncated = errors["N20251123S0901.fits"]
    page = system.browser("summit").get(
        f"{system.urls['summit']}/queuestatus/{truncated['queue']}/{truncated['oid']}", timeout=10
    )
    assert "Traceback" in page.text
    assert "5000 bytes missing" in page.text

    def failed() -> list[dict[str, Any]]:
        return [r for r in runs(system, "summit_copy") if r["status"] == "FAILURE"]

    run, *_ = wait_until(failed, seconds=60, what="the run is red")
    events = system.graphql("summit", FAILURES, id=run["runId"])["logsForRun"]["events"]
    told, *_ = [
        {entry["label"]: entry for entry in event["failureMetadata"]["metadataEntries"]}
        for event in events
        if event["__typename"] == "ExecutionStepFailureEvent"
    ]
    records = told["failed_files"]["table"]["records"]
    assert all(any(name in record for record in records) for name in bad)
    assert all(f"(/queuestatus/file?name={name})" in told["where_they_are_now"]["mdStr"] for name in bad)

    for index, name in enumerate(bad, 5):
        shutil.copy(night[index], system.dhs / name)
    params = {"parentRunId": run["runId"], "strategy": "FROM_FAILURE"}
    again = system.graphql("summit", AGAIN, p=params)["launchRunReexecution"]
    assert again["__typename"] == "LaunchRunSuccess"

    def green() -> bool:
        return any(
            r["runId"] == again["run"]["runId"] and r["status"] == "SUCCESS"
            for r in runs(system, "summit_copy")
        )

    wait_until(green, seconds=90, what="the re-execution is green")
    wait_until(lambda: len(system.archived()) == 8, seconds=120, what="the mended files arrive")
    assert system.errors("summit") == {}


def test_a_broken_file_is_mended_by_somebody_at_the_page_and_arrives(
    system: RunningSystem, night: list[Path], chromium: Browser
) -> None:
    name, good = "N20251123S0911.fits", night[6].read_bytes()
    file = system.home / "summit" / "dataflow" / name
    file.write_bytes(good[:-5000])
    assert system.run("add-to-ingest-queue", "--filename", name).returncode == 0

    context = chromium.new_context(base_url=system.urls["summit"])
    page = context.new_page()
    page.goto("/queuestatus")
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    panel = page.get_by_role("tabpanel", name="Ingest")
    row = panel.locator(".errors").get_by_role("row", name=name)
    expect(row).to_contain_text("truncated", timeout=90_000)
    row.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_text("5000 bytes missing").first).to_be_visible()
    expect(page.locator("pre.traceback")).to_contain_text("Traceback (most recent call last)")
    address = page.locator("dl.facts a[href^='/dagster/runs/']").get_attribute("href")
    assert address is not None and system.browser("summit").get(system.urls["summit"] + address).ok

    file.write_bytes(good)
    page.get_by_role("button", name="Try again").click()
    wait_until(lambda: name in system.archived(), seconds=120, what="the mended file arrives")
    assert system.archived()[name] == md5(file)
    expect(row).to_have_count(0, timeout=30_000)
    context.close()


def calibrations(system: RunningSystem, name: str) -> dict[str, list[str]]:
    """The cached associations of a file, by type."""
    answer = system.run("calibrations", name, "--json", "--site", "archive")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, list[str]] = json.loads(answer.stdout)[name]
    return found


def science_is_calibrated(system: RunningSystem) -> bool | None:
    """What the check of the associations says of their latest materialization."""
    checks = system.graphql("archive", CHECKS)["assetNodeOrError"]["assetChecksOrError"]["checks"]
    [check] = [c for c in checks if c["name"] == "every_science_file_has_what_it_needs"]
    execution = check["executionForLatestMaterialization"]
    return execution["evaluation"]["success"] if execution and execution["evaluation"] else None


def test_a_late_calibration_reaches_its_science_file_within_a_minute_and_the_check_turns_green(
    system: RunningSystem, night: list[Path]
) -> None:
    science, late = night[32], night[33]
    # the others have what they need among themselves
    for source in (science, *night[:30]):
        if not (system.dhs / source.name).exists():
            shutil.copy(source, system.dhs)
    wait_until(lambda: science.name in system.archived(), seconds=180, what="the science file is archived")
    wait_until(lambda: science_is_calibrated(system) is False, seconds=120, what="the check warns")
    assert calibrations(system, science.name)["flat"] == []
    for source in (late, *night[34:36]):
        shutil.copy(source, system.dhs)
    wait_until(lambda: late.name in system.archived(), seconds=120, what="the late flat is in the archive")
    wait_until(
        lambda: [each["name"] for each in system.associated(science.name, "flat")] == [late.name],
        seconds=60,
        what="the science file has the late flat",
    )
    assert calibrations(system, science.name)["flat"] == [late.name]
    wait_until(lambda: science_is_calibrated(system) is True, seconds=120, what="the check is green")


def test_a_web_application_that_dies_is_started_again(system: RunningSystem) -> None:
    def answers() -> bool:
        try:
            return requests.get(f"{system.urls['archive']}/health", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    [web] = processes(system, "-m fits_dagster.web archive")
    os.kill(web.pid, signal.SIGKILL)
    wait_until(lambda: not web.is_running() or web.status() == "zombie", seconds=10, what="it is dead")
    wait_until(answers, seconds=60, what="it answers again")
