"""compose.yaml started as it stands: files travel through its containers, two of which are killed on the way.

``make containers`` runs this where there is Docker, or whatever ``COMPOSE`` names.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import yaml

from fits_dagster.simulator import simulate_night
from fits_dagster_tests.deploy.test_compose import ROOT, SECRETS
from fits_dagster_tests.system.conftest import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(2400)]

FILES = 24
WEB = {"summit": "http://127.0.0.1:8181", "archive": "http://127.0.0.1:8180"}
PROMETHEUS = "http://127.0.0.1:9090"
#: Images are built and fetched.
_FIRST_START_S = 1800


@dataclass(frozen=True)
class Containers:
    """The containers of compose.yaml, under a name of their own."""

    compose: tuple[str, ...]
    #: What appears here appears at the telescope.
    dhs: Path

    def run(self, *arguments: str, timeout: float = 180, most: int = 0) -> str:
        """One command of Compose, which may end with a status of ``most``; what it printed."""
        done = subprocess.run(
            [*self.compose, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout
        )
        if done.returncode not in range(most + 1):
            raise AssertionError(f"{arguments} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def give(self, files: list[Path]) -> dict[str, str]:
        """Files into the DHS directory; the MD5 of each by name."""
        for file in files:
            shutil.copy(file, self.dhs)
        return {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in files}

    def arrived(self) -> dict[str, str]:
        """The MD5 of all files at the archive, by name."""
        try:
            answer = requests.get(f"{WEB['archive']}/jsonfilelist/present", timeout=30)
            return {entry["name"]: entry["data_md5"] for entry in answer.json()}
        except (requests.RequestException, ValueError):
            return {}  # it was killed, or is not there yet


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """All containers of compose.yaml; they and their volumes are removed again."""
    engine = shlex.split(os.environ.get("COMPOSE", "docker compose"))
    if subprocess.run(["sh", "-c", f"{shlex.join(engine)} version"], capture_output=True).returncode:
        pytest.skip(f"{shlex.join(engine)} does not run here; COMPOSE names another one")
    directory = tmp_path_factory.mktemp("compose")
    dhs = directory / "dhs"
    dhs.mkdir()
    dhs.chmod(0o755)
    variables = directory / "env"
    variables.write_text("".join(f"{name}={secrets.token_hex(24)}\n" for name in SECRETS))
    # as docs/deployment.md says: the real directory is bound in the place of the volume
    bound = {"driver": "local", "driver_opts": {"type": "none", "o": "bind", "device": str(dhs)}}
    override = directory / "override.yaml"
    override.write_text(yaml.safe_dump({"volumes": {"dhs": bound}}))
    files = ("-f", str(ROOT / "compose.yaml"), "-f", str(override))
    found = Containers((*engine, "-p", "fits_dagster_try", *files, "--env-file", str(variables)), dhs)
    try:
        options = shlex.split(os.environ.get("COMPOSE_UP", "--build"))
        found.run("up", "--detach", *options, timeout=_FIRST_START_S)
        yield found
    finally:
        logs = subprocess.run([*found.compose, "logs", "--tail", "20"], capture_output=True, text=True)
        print(logs.stdout, logs.stderr)
        found.run("down", "--volumes", timeout=300)


def is_healthy(site: str) -> bool:
    try:
        return requests.get(f"{WEB[site]}/health", timeout=10).ok
    except requests.RequestException:
        return False


def scraped() -> dict[str, str]:
    """What Prometheus says of each site that it asks."""
    try:
        answer = requests.get(f"{PROMETHEUS}/api/v1/targets", timeout=10).json()
    except (requests.RequestException, ValueError):
        return {}
    return {target["labels"]["site"]: target["health"] for target in answer["data"]["activeTargets"]}


def test_files_travel_through_the_containers(containers: Containers, tmp_path: Path) -> None:
    for site in WEB:
        wait_until(lambda site=site: is_healthy(site), seconds=300, what=f"{site} is healthy")
    tonight = f"{datetime.now(UTC):%Y%m%d}"
    made = simulate_night(tmp_path, files=FILES, night=tonight, instruments=("NIRI", "GNIRS", "NIFS"))
    given = containers.give(made[: FILES // 2])
    wait_until(lambda: containers.arrived(), seconds=180, what="the first file arrives")

    # Docker takes who is killed by hand for stopped, and does not start it again by itself
    given |= containers.give(made[FILES // 2 :])
    for killed in ("archive-worker", "summit"):
        containers.run("kill", "--signal", "SIGKILL", killed)
        containers.run("start", killed)
    wait_until(
        lambda: containers.arrived() == given,
        seconds=300,
        what="every file arrives, unaltered",
        progress=lambda: len(containers.arrived()),
    )

    wait_until(
        lambda: scraped() == {"summit": "up", "archive": "up"}, seconds=120, what="Prometheus has asked both"
    )
    for site in WEB:
        wait_until(lambda site=site: is_healthy(site), seconds=120, what=f"{site} is healthy")
        # it may warn, of backups that were never made
        containers.run("exec", "-T", site, "fits-dagster", "doctor", most=1)
