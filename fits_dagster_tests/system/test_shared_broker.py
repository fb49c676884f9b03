"""A real Redis over TCP with TLS and a password, shared by two systems: each has queues of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
import requests

from fits_dagster.settings import load_settings
from fits_dagster.system.ports import free_port, wait_until_listening
from fits_dagster_tests.system.conftest import command, environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PASSWORD = "a-broker-of-the-tests"


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A redis-server (or valkey-server) that is not ours, with TLS."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("no redis-server here")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ["-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            *names,
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    command = [program, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--tls-key-file", str(key), "--tls-cert-file", str(certificate), "--tls-auth-clients", "no"]
    command += ["--tls-ca-cert-file", str(certificate), "--requirepass", PASSWORD]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        try:
            assert wait_until_listening(port, seconds=10)
            trust = f"ssl_cert_reqs=required&ssl_ca_certs={certificate}"
            yield f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?{trust}"
        finally:
            server.terminate()


@contextmanager
def system(home: Path, broker: str, name: str) -> Iterator[None]:
    """A whole system with a broker of the settings and a name of its own."""
    home.mkdir()
    (home / "settings.toml").write_text(f'broker_url = "{broker}"\ninstance_name = "{name}"\n')
    with (home / "up.log").open("w") as log:
        process = subprocess.Popen(
            command("up"), env=environment(home), stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(
            lambda: (home / "up.json").exists() or process.poll() is not None, seconds=150, what="it runs"
        )
        assert process.poll() is None, (home / "up.log").read_text()
        assert not (home / "broker" / "url").exists(), "no embedded broker beside the one of the settings"
        yield
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        # as ``timeout`` and service managers do: the process first, then its group
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        process.wait(60)
        assert psutil.wait_procs(family, timeout=5)[1] == []


def archived(home: Path) -> set[str]:
    url = json.loads((home / "up.json").read_text())["urls"]["archive"]
    return {entry["name"] for entry in requests.get(f"{url}/jsonfilelist/present", timeout=10).json()}


def test_two_systems_share_a_broker_and_nothing_else(
    tmp_path: Path, redis_url: str, night: list[Path]
) -> None:
    homes = {name: tmp_path / name for name in ("north", "south")}
    with system(homes["north"], redis_url, "north"), system(homes["south"], redis_url, "south"):
        fed = {}
        for index, (name, home) in enumerate(homes.items()):
            label = str(load_settings(home).summit.night_clock.tonight())
            fed[name] = {f"N{label}S{10 * index + number:04d}.fits" for number in (1, 2, 3)}
            for source, target in zip(night, sorted(fed[name]), strict=False):
                shutil.copy(source, home / "dhs" / target)
        for name, home in homes.items():
            wait_until(lambda h=home, n=name: archived(h) == fed[n], seconds=120, what=f"the {name}'s arrive")
        client = redis.Redis.from_url(redis_url)
        assert client.ping()
        queues = {key.decode().split("\x06")[0] for key in client.scan_iter("_kombu.binding.*")}
        for name in homes:
            assert f"_kombu.binding.{name}.summit.copy" in queues


@pytest.fixture
def rabbitmq_url(tmp_path: Path) -> Iterator[str]:
    """A RabbitMQ of these tests alone."""
    program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not program.exists():
        pytest.skip("no rabbitmq-server here")
    port = free_port()
    configuration = tmp_path / "rabbitmq.conf"
    configuration.write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    variables = {
        "HOME": str(tmp_path),
        "RABBITMQ_NODENAME": "fits@localhost",
        "RABBITMQ_CONFIG_FILE": str(configuration),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "db"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    before = {process.pid for process in psutil.process_iter()}
    with (tmp_path / "rabbitmq.log").open("w") as log:
        server = subprocess.Popen([str(program)], env=os.environ | variables, stdout=log, stderr=log)
    try:
        assert wait_until_listening(port, seconds=60), (tmp_path / "rabbitmq.log").read_text()
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        server.terminate()
        server.wait(30)
        # its port mapper is a daemon that stays
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "epmd" and process.pid not in before:
                process.terminate()


def test_a_rabbitmq_serves_as_well(tmp_path: Path, rabbitmq_url: str, night: list[Path]) -> None:
    home = tmp_path / "home"
    with system(home, rabbitmq_url, "north"):
        label = load_settings(home).summit.night_clock.tonight()
        names = {f"N{label}S{number:04d}.fits" for number in (1, 2, 3)}
        for source, name in zip(night, sorted(names), strict=False):
            shutil.copy(source, home / "dhs" / name)
        wait_until(lambda: archived(home) == names, seconds=120, what="the files arrive")
