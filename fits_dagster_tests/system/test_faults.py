"""Whatever dies, freezes or goes away in the middle of a stream of files: every file arrives, once.

No run is left behind, and no run whose process was not hurt is marked as failed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
from kombu.utils.url import url_to_parts
from sqlalchemy import Engine, create_engine, text

from fits_dagster.broker import broker_url
from fits_dagster.database.server import database_url
from fits_dagster.settings import load_settings
from fits_dagster_tests.system.conftest import RunningSystem, command, environment, wait_until
from fits_dagster_tests.system.machine import share_of_a_processor
from fits_dagster_tests.system.stream import failed_runs, postmaster, processes, stream, workers

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]


def kill(victims: Iterable[psutil.Process]) -> int:
    """Kill processes at once and without warning; returns how many there were."""
    killed = 0
    for victim in victims:
        try:
            victim.send_signal(signal.SIGKILL)
            killed += 1
        except psutil.NoSuchProcess:
            continue
    assert killed
    return killed


def send(victims: Iterable[psutil.Process], number: signal.Signals) -> None:
    for victim in victims:
        try:
            victim.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def test_a_child_of_the_worker(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    with stream(system, night[:10], "A"):
        kill(workers(system)[1][:1])
    assert len(failed_runs(system) - before) <= 1


def test_the_parent_of_the_workers(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    with stream(system, night[:10], "B"):
        parent, children = workers(system)
        kill([parent])
        # the children finish what they hold, and go
        psutil.wait_procs(children, timeout=30)
        assert not any(child.is_running() and child.status() != "zombie" for child in children)
    assert failed_runs(system) == before, "nobody hurt the children"


def test_all_workers_of_a_host_that_never_comes_back(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    own, _ = workers(system)
    with (system.home / "second-host.log").open("w") as log:
        second = subprocess.Popen(
            command("worker", "--site", "summit", "--site", "archive"),
            env=environment(system.home) | {"DAGSTER_HOME": str(system.home / "dagster")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        # the first host takes nothing for a while, so that the second has it all
        own.send_signal(signal.SIGSTOP)
        try:
            wait_until(
                lambda: second.poll() is not None or psutil.Process(second.pid).children(),
                seconds=60,
                what="the second host is at work",
            )
            time.sleep(3)
        finally:
            own.send_signal(signal.SIGCONT)
        with stream(system, night[:10], "C"):
            hurt = len(psutil.Process(second.pid).children()) + 1
            os.killpg(second.pid, signal.SIGKILL)
            second.wait()
    finally:
        if second.poll() is None:
            os.killpg(second.pid, signal.SIGKILL)
    assert len(failed_runs(system) - before) <= hurt


def test_the_broker_with_all_that_it_holds(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    with stream(system, night[:10], "D"):
        kill(processes(system, "valkey-server"))
    assert failed_runs(system) == before


def test_the_daemon(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    with stream(system, night[:10], "E"):
        kill(processes(system, "dagster._daemon"))
    assert failed_runs(system) == before


def test_the_code_servers(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    with stream(system, night[:10], "F"):
        kill(processes(system, "dagster api grpc"))
    assert failed_runs(system) == before


def test_the_postmaster(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    with stream(system, night[:10], "G"):
        kill([postmaster(system)])
    assert failed_runs(system) == before


def test_everything_at_once(system: RunningSystem, night: list[Path]) -> None:
    with stream(system, night[:10], "H"):
        kill(processes(system))


def test_a_later_version_migrates_the_databases_and_one_machine_after_the_other_follows(
    system: RunningSystem, night: list[Path]
) -> None:
    before = failed_runs(system)
    settings = load_settings(system.home)
    engines = [create_engine(database_url(settings, site)) for site in settings.sites]
    # what a migration that only adds does, and one that also takes away what this version needs
    adds = ["alter table diskfile add column later text", "update alembic_version set version_num = '9001'"]
    takes = ["update schema_compatibility set programs_from = '9001'"]
    back = ["alter table diskfile drop column later"]
    [(version, oldest)] = {_versions(engine) for engine in engines}
    back += [f"update alembic_version set version_num = '{version}'"]
    back += [f"update schema_compatibility set programs_from = '{oldest}'"]
    try:
        with stream(system, night[:10], "R"):
            _execute(engines, adds)
            # what is started from now on finds a schema that it does not know
            kill([workers(system)[0]])
        assert failed_runs(system) == before
        _execute(engines, takes)
        refused = system.run("worker", "--site", "summit")
        assert refused.returncode == 2
        assert "upgrade fits_dagster on this machine" in refused.stderr
    finally:
        _execute(engines, back)
        for engine in engines:
            engine.dispose()


def _versions(engine: Engine) -> tuple[str, str]:
    with engine.connect() as connection:
        query = text("select version_num, programs_from from alembic_version, schema_compatibility")
        version, oldest = connection.execute(query).one()
        return version, oldest


def _execute(engines: Iterable[Engine], statements: Iterable[str]) -> None:
    for engine in engines:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))


@pytest.mark.slow
def test_everything_frozen_for_two_minutes(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    with stream(system, night[:10], "I", interval=3):
        frozen = [psutil.Process(system.process.pid), *processes(system)]
        send(frozen, signal.SIGSTOP)
        time.sleep(120)
        send(frozen, signal.SIGCONT)
    assert failed_runs(system) == before


@pytest.mark.slow
def test_two_per_cent_of_a_processor_for_four_minutes(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    with stream(system, night[:10], "J", interval=3), share_of_a_processor(processes(system), 0.02):
        time.sleep(240)
    assert failed_runs(system) == before


@pytest.mark.slow
def test_the_broker_away_for_five_minutes(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    port = url_to_parts(broker_url(load_settings(system.home))).port
    with stream(system, night[:10], "K", interval=3), socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kill(processes(system, "valkey-server"))
        wait_until(lambda: _bound(holder, port), seconds=5, what="its port is ours")
        time.sleep(300)
    assert failed_runs(system) == before


def _bound(holder: socket.socket, port: int) -> bool:
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_postgresql_away_for_five_minutes(system: RunningSystem, night: list[Path]) -> None:
    before = failed_runs(system)
    with stream(system, night[:10], "L", interval=3):
        supervisor = psutil.Process(system.process.pid)
        # which would start it again at once
        supervisor.send_signal(signal.SIGSTOP)
        try:
            postmaster(system).send_signal(signal.SIGINT)
            time.sleep(300)
        finally:
            supervisor.send_signal(signal.SIGCONT)
    assert failed_runs(system) == before
