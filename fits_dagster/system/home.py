"""The home directory of a running system: its lock, its ports, its Dagster instance files."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from fits_dagster.settings import Settings, SiteName

__all__ = [
    "AlreadyRunningError",
    "RunningSystem",
    "ensure_dagster_home",
    "ensure_directories",
    "locked_home",
    "read_running",
    "upload_cookie",
    "write_dagster_home",
    "write_running",
]

#: Dagster's configuration files travel in the package.
_CONFIGURATION = Path(__file__).resolve().parents[1] / "orchestration" / "configuration"
_LOCK = "up.lock"
_RUNNING = "up.json"


class AlreadyRunningError(RuntimeError):
    """A system is already running on this home directory."""


@dataclass(frozen=True)
class RunningSystem:
    """What a running system tells others through a file in its home."""

    pid: int
    urls: Mapping[str, str]
    code_ports: Mapping[str, int]


@contextmanager
def locked_home(settings: Settings) -> Iterator[None]:
    """Make sure that only one system runs on a home directory.

    Raises
    ------
    AlreadyRunningError
        Another one does.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            there = read_running(settings)
            where = f" (process {there.pid}): {', '.join(there.urls.values())}" if there else ""
            raise AlreadyRunningError(f"already running on {settings.home}{where}") from error
        try:
            yield
        finally:
            (settings.home / _RUNNING).unlink(missing_ok=True)


def read_running(settings: Settings) -> RunningSystem | None:
    """Return what runs on this home directory, or None."""
    try:
        there = RunningSystem(**json.loads((settings.home / _RUNNING).read_text()))
        os.kill(there.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return there


def write_running(settings: Settings, system: RunningSystem) -> None:
    """Tell others what runs here."""
    path = settings.home / _RUNNING
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(system)))
    temporary.replace(path)


def upload_cookie(settings: Settings) -> str:
    """Return the secret that exports and uploads on this machine share; it is made when first asked for."""
    path = settings.home / "upload_cookie"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text().strip()


def ensure_directories(settings: Settings) -> None:
    """Make the directories that the sites' settings name."""
    for name in settings.sites:
        site = settings.site(name)
        for directory in (site.dhs_directory, site.store_directory, site.staging_directory):
            if directory is not None:
                directory.mkdir(parents=True, exist_ok=True)


def write_dagster_home(settings: Settings, code_ports: Mapping[SiteName, int]) -> Path:
    """Lay out ``DAGSTER_HOME``: the instance configuration, and a workspace of the code servers.

    Returns
    -------
    pathlib.Path
        The workspace file.
    """
    directory = ensure_dagster_home(settings)
    workspace = directory / "workspace.yaml"
    servers = [
        {"grpc_server": {"host": "127.0.0.1", "port": port, "location_name": name}}
        for name, port in code_ports.items()
    ]
    workspace.write_text(yaml.safe_dump({"load_from": servers}))
    return workspace


def ensure_dagster_home(settings: Settings) -> Path:
    """Lay out ``DAGSTER_HOME`` with the configuration of the instance; returns the directory."""
    directory = settings.home / "dagster"
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "dagster.yaml"
    if not target.exists() or target.read_bytes() != (_CONFIGURATION / "dagster.yaml").read_bytes():
        temporary = target.with_suffix(".tmp")
        shutil.copyfile(_CONFIGURATION / "dagster.yaml", temporary)
        temporary.replace(target)
    return directory
