"""The doctor as a whole: what it says goes into its exit status, and all of it is in the handbook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from fits_dagster.doctor.checks import CHECKS, examine_system
from fits_dagster.doctor.examination import examine
from fits_dagster.doctor.finding import Check, Finding, exit_status, ok
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.sites import serve
from fits_dagster_tests.doctor.said import changed, destined

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_exit_status_is_that_of_the_worst() -> None:
    warns, fails = replace(ok("a", "b"), verdict="warning"), replace(ok("a", "b"), verdict="wrong")
    assert [exit_status(each) for each in ([], [ok("a", "b")], [ok("a", "b"), warns], [fails, warns])] == [
        *(0, 0, 1, 2)
    ]


def test_a_check_that_fails_or_hangs_leaves_the_others() -> None:
    over = threading.Event()

    def fails() -> Iterator[Finding]:
        yield ok("half", "well")
        raise RuntimeError("broken\nin two lines")

    def hangs() -> Iterator[Finding]:
        over.wait(30)
        yield ok("never", "seen")

    def fine() -> Iterator[Finding]:
        yield ok("it", "is well")

    began = time.monotonic()
    found = examine([Check("hangs", hangs), Check("fails", fails), Check("fine", fine)], patience=0.5)
    over.set()
    assert time.monotonic() - began < 5
    assert [(each.check, each.verdict) for each in found] == [
        ("hangs", "wrong"),
        ("fails", "ok"),
        ("fails", "wrong"),
        ("fine", "ok"),
    ]
    assert found[2].message == "could not be looked at: RuntimeError: broken"


def test_every_check_has_its_place_in_the_handbook() -> None:
    anchors = re.findall(r'id="doctor-([a-z-]+)"', OPERATIONS.read_text())
    assert sorted(anchors) == sorted(CHECKS)
    assert replace(ok("a", "b"), check="disk").runbook == "docs/operations.md#doctor-disk"


def command(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FITS_DAGSTER")}
    return subprocess.run(
        [sys.executable, "-m", "fits_dagster", "doctor", "--home", str(home), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_says_what_is_wrong_what_to_do_and_where_to_read_on(tmp_path: Path) -> None:
    done = command("--json", home=tmp_path / "home")
    assert done.returncode == 2, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == 2
    assert {each["check"] for each in told["findings"]} >= {"database", "broker", "web", "daemon", "disk"}
    for each in told["findings"]:
        assert each["runbook"] == f"docs/operations.md#doctor-{each['check']}"
    text = command("--quiet", home=tmp_path / "home").stdout
    assert re.search(r"^wrong +database: summit database: no database", text, re.MULTILINE)
    assert not re.search(r"^ok", text, re.MULTILINE)


def test_a_system_that_is_well_has_status_0(
    brokered: tuple[Settings, Callable[[], None]], summit: Site, archive: Site
) -> None:
    settings, _ = brokered
    server, stop = serve(create_app(archive, session_hours=1))
    try:
        well = changed(settings, port=int(server.url.rsplit(":", 1)[1]))
        least = settings.alerts.model_copy(update={"least_free_gb": 0, "email_to": ("a@example.org",)})
        well = destined(well.model_copy(update={"alerts": least, "sites": ("archive",)}), server.url)
        looked = ("database", "broker", "directories", "disk", "web", "destinations", "alerts", "settings")
        found = examine([Check(name, lambda look=CHECKS[name]: look(well)) for name in looked])
        assert [each for each in found if each.verdict != "ok"] == []
    finally:
        stop()


def test_bad_settings_are_all_that_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[work]\nworkers = -1\n")
    [found] = examine_system(tmp_path)
    assert (found.check, found.verdict) == ("settings", "wrong")
