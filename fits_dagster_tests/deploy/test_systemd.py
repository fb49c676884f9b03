"""Units of systemd: systemd accepts them, operators know their names, and what they start runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from configparser import ConfigParser
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from sqlalchemy import URL, create_engine, text

from fits_dagster.broker import embedded_broker
from fits_dagster.cli import cli
from fits_dagster.deploy.programs import worker_services
from fits_dagster.doctor.checks import examine_system
from fits_dagster.orchestration.queues import services_of
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.system.ports import free_port, wait_until_listening

ROOT = Path(__file__).parents[2]
#: As the operators' own text names them.
KNOWN_TO_OPERATORS = {
    "fits-copy_from_dhs.service",
    "fits-service_ingest_queue1.service",
    "fits-service_ingest_queue2.service",
    "fits-service_export_queue1.service",
    "fits-service_export_queue2.service",
}
ALWAYS = {"fits.target", "fits-prepare.service", "fits-dagster-daemon.service", "fits-alerts.service"}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path: sockets of services must be below it."""
    with tempfile.TemporaryDirectory(prefix="units-") as name:
        yield Path(name)


def written(home: Path, out: Path, *sites: str) -> dict[str, Path]:
    """Let the command write the units of a machine."""
    chosen = [word for site in sites for word in ("--site", site)]
    done = CliRunner().invoke(cli, ["deploy", "systemd", *chosen, "--out", str(out), "--home", str(home)])
    assert done.exit_code == 0, done.output
    return {path.name: path for path in out.iterdir()}


def read(path: Path) -> ConfigParser:
    class Unit(ConfigParser):
        def optionxform(self, optionstr: str) -> str:
            return optionstr

    unit = Unit(interpolation=None, strict=False)
    unit.read(path)
    return unit


@pytest.mark.parametrize("sites", [("summit",), ("archive",), ("summit", "archive")])
def test_systemd_accepts_the_units(tmp_path: Path, sites: Sequence[str]) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here")
    units = written(tmp_path / "home", tmp_path / "units", *sites)
    done = subprocess.run(
        [program, "verify", "--man=no", *map(str, units.values())],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path / 'units'}:"},
    )
    ours = [line for line in done.stderr.splitlines() if "fits" in line]
    assert (done.returncode, ours) == (0, [])


def test_operators_know_the_names(tmp_path: Path) -> None:
    summit = set(written(tmp_path / "home", tmp_path / "summit", "summit"))
    assert summit >= KNOWN_TO_OPERATORS | ALWAYS | {"fits-web-summit.service", "fits-code-summit.service"}
    archive = set(written(tmp_path / "home", tmp_path / "archive", "archive"))
    assert archive >= ALWAYS | {"fits-ingest_uploaded_file.service", "fits-service_preview_queue.service"}
    both = set(written(tmp_path / "home", tmp_path / "both", "summit", "archive"))
    assert {"fits-summit-service_ingest_queue1.service", "fits-archive-service_ingest_queue1.service"} <= both


@pytest.mark.parametrize("site", ["summit", "archive"])
def test_every_stage_has_a_worker(site: SiteName) -> None:
    settings = load_settings()
    queues = {queue for _, queue, _ in worker_services(settings.site(site))}
    assert queues == set(services_of(settings, site))


def test_services_keep_their_names() -> None:
    services = {
        site: {name: queue for name, queue, _ in worker_services(load_settings().site(site))}
        for site in load_settings().sites
    }
    assert services == {
        "summit": {
            "copy_from_dhs": "copy",
            "service_fileops_queue": "edit",
            "service_ingest_queue1": "ingest",
            "service_ingest_queue2": "ingest",
            "service_export_queue1": "export",
            "service_export_queue2": "export",
            "operations": "operations",
        },
        "archive": {
            "ingest_uploaded_file": "store",
            "service_ingest_queue1": "ingest",
            "service_ingest_queue2": "ingest",
            "service_preview_queue": "preview",
            "service_calcache_queue": "associate",
            "operations": "operations",
        },
    }


def test_units_are_hardened_and_restart(tmp_path: Path) -> None:
    for name, path in written(tmp_path / "home", tmp_path / "units", "summit", "archive").items():
        unit = read(path)
        if name == "fits.target":
            assert len(unit["Unit"]["Wants"].split()) > 10
            continue
        if name == "fits-backup.timer":
            assert unit["Timer"]["Persistent"] == "true" and unit["Install"]["WantedBy"] == "fits.target"
            continue
        service = unit["Service"]
        assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "yes")
        assert str(tmp_path / "home") in service["ReadWritePaths"].split()
        if name == "fits-backup.service":
            assert "--verify" in service["ExecStart"]
            continue
        assert unit["Unit"]["PartOf"] == unit["Install"]["WantedBy"] == "fits.target"
        if name != "fits-prepare.service":
            assert service["Restart"] == "always"
            assert service["MemoryMax"].endswith("G")
            assert "fits-prepare.service" in unit["Unit"]["After"]


def test_the_daemon_is_stopped_before_the_workers(tmp_path: Path) -> None:
    units = written(tmp_path / "home", tmp_path / "units", "summit")
    after = read(units["fits-dagster-daemon.service"])["Unit"]["After"].split()
    assert {"fits-copy_from_dhs.service", "fits-code-summit.service"} <= set(after)


def test_directories_of_the_settings_can_be_written_and_odd_names_are_quoted(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    settings = '[summit]\nstore_directory = "/sci/data flow 100%"\ndhs_directory = "/sci/dhs"\n'
    (home / "settings.toml").write_text(settings)
    units = written(home, tmp_path / "units", "summit")
    paths = read(units["fits-copy_from_dhs.service"])["Service"]["ReadWritePaths"]
    assert paths == f'{home} "/sci/data flow 100%%"'


def test_a_home_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90)
    arguments = ["deploy", "systemd", "--site", "summit", "--out", str(tmp_path / "units")]
    done = CliRunner().invoke(cli, [*arguments, "--home", str(deep)])
    assert done.exit_code == 1
    assert "choose a shorter home" in done.output


def test_services_need_a_database_and_a_broker_of_their_own(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["deploy", "prepare", "--home", str(tmp_path)])
    assert done.exit_code == 1
    assert "set database_url and broker_url" in done.output


@pytest.fixture
def machine(tmp_path: Path, postgres_server: URL) -> Iterator[Path]:
    """A home whose settings name a database server and a broker that run."""
    home = tmp_path / "h"
    home.mkdir()
    port = free_port()
    command = embedded_broker(load_settings(home), port)
    broker_url = (home / "broker" / "url").read_text()
    server = postgres_server.set(drivername="postgresql").render_as_string(hide_password=False)
    (home / "settings.toml").write_text(
        f'sites = ["archive"]\ndatabase_url = "{server}"\nbroker_url = "{broker_url}"\n'
        f"[archive]\nport = {free_port()}\n"
    )
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as broker:
        try:
            assert wait_until_listening(port, seconds=10)
            yield home
        finally:
            broker.kill()
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for name in ("dagster", "fits_archive"):
            connection.execute(text(f"drop database if exists {name} with (force)"))
    admin.dispose()


class Started:
    """Programs that are started by the lines of their units, as systemd would."""

    def __init__(self, units: dict[str, Path], home: Path) -> None:
        self.units, self.home = units, home
        #: With the seconds that each is given to end.
        self.running: list[tuple[subprocess.Popen[bytes], float]] = []

    def start(self, name: str) -> subprocess.Popen[bytes]:
        # Environment is given more than once, of which the parser keeps the last one only
        lines = self.units[f"{name}.service"].read_text().splitlines()
        variables = dict(line.split("=", 2)[1:] for line in lines if line.startswith("Environment="))
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("FITS_", "DAGSTER"))}
        service = read(self.units[f"{name}.service"])["Service"]
        command = shlex.split(service["ExecStart"])
        assert command[0] == sys.executable
        process = subprocess.Popen(command, env={**clean, **variables}, cwd=self.home, start_new_session=True)
        self.running.append((process, float(service.get("TimeoutStopSec", "90"))))
        return process

    def stop(self) -> None:
        """Stop them in the order in which systemd does: the last one first."""
        for process, _ in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process, seconds in self.running:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


@pytest.fixture
def started(machine: Path, tmp_path: Path) -> Iterator[Started]:
    """The archive's units, of which some may be started."""
    programs = Started(written(machine, tmp_path / "units", "archive"), machine)
    yield programs
    programs.stop()


@pytest.mark.timeout(300)
def test_what_the_units_start_runs_and_the_doctor_finds_it_well(machine: Path, started: Started) -> None:
    assert started.start("fits-prepare").wait(90) == 0
    names = ("code-archive", "web-archive", "service_ingest_queue1", "dagster-daemon", "alerts")
    running = [started.start(f"fits-{name}") for name in names]
    port = load_settings(machine).archive.port
    assert wait_until_listening(port, seconds=60)
    assert requests.get(f"http://127.0.0.1:{port}/health", timeout=10).json()["site"] == "archive"
    deadline = time.monotonic() + 120
    while bad := [each for each in examine_system(machine) if each.verdict == "wrong"]:
        assert time.monotonic() < deadline, bad
        time.sleep(1)
    assert {each.check for each in examine_system(machine)} >= {"workers", "daemon", "code-servers", "web"}
    told = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    for part in ("queues", "events", "disks", "dagster", "broker"):
        assert f'fits_dagster_part_up{{part="{part}"}} 1.0' in told
    assert "fits_dagster_workers 1.0" in told
    assert all(each.poll() is None for each in running)


def test_the_handbook_names_all_units_and_no_others(tmp_path: Path) -> None:
    names = {
        name.removesuffix(".service").removesuffix(".timer")
        for site in ("summit", "archive")
        for name in written(tmp_path / "home", tmp_path / site, site)
    }
    table = (ROOT / "docs" / "deployment.md").read_text().split("| unit | what |")[1].split("\n\n")[0]
    told = set(re.findall(r"`(fits[-.][\w-]+)`", table))
    assert told | {name.replace("queue1", "queue2") for name in told} == names


def test_units_have_little_to_lose(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze here")
    for name, path in written(tmp_path / "home", tmp_path / "units", "summit").items():
        if name.endswith(".service"):
            command = [program, "security", "--offline=yes", "--threshold=40", "--no-pager", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout[-600:] + done.stderr
