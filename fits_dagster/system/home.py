"""The home directory of a running system: its lock, its ports, its Dagster instance files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from fits_dagster.settings import Settings, SiteName

__all__ = [
    "AlreadyRunningError",
    "RunningSystem",
    "code_server",
    "code_socket",
    "edit_cookie",
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
_LONGEST_SOCKET_DIRECTORY = 80
_LOCK = "up.lock"
_RUNNING = "up.json"


class AlreadyRunningError(RuntimeError):
    """A system is already running on this home directory."""


@dataclass(frozen=True)
class RunningSystem:
    """What a running system tells others through a file in its home."""

    pid: int
    urls: Mapping[str, str]
    #: Unix sockets of the code servers, by site.
    code_sockets: Mapping[str, str]
    #: What was started: ``fits-dagster up``, or what ``dagster dev`` needs.
    program: str = "fits-dagster up"


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
            where = (
                f" ({there.program}, process {there.pid}): {', '.join(there.urls.values())}" if there else ""
            )
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
    return _secret(settings.home / "upload_cookie")


def edit_cookie(settings: Settings) -> str:
    """Return the secret that goes with header edits between sites of this machine, as above."""
    return _secret(settings.home / "edit_cookie")


def _secret(path: Path) -> str:
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


def code_socket(settings: Settings, site: SiteName) -> Path:
    """Return the Unix socket of a site's code server.

    Who reaches a code server can run what it likes there, so it has no port, and its socket lies in a
    directory that is its owner's alone, see :func:`write_dagster_home`.
    """
    directory = settings.home / "sockets"
    if len(str(directory)) > _LONGEST_SOCKET_DIRECTORY:
        # a Unix socket's path is short by nature
        digest = hashlib.sha256(str(settings.home).encode()).hexdigest()[:12]
        directory = Path(tempfile.gettempdir()) / f"fits_dagster-{os.getuid()}-{digest}"
    return directory / f"{site}.sock"


def code_server(site: SiteName, socket: str) -> tuple[str, ...]:
    """Return the arguments of Python that start a site's code server."""
    module = ("--module-name", "fits_dagster.code_locations", "--attribute", site)
    return ("-m", "dagster", "api", "grpc", *module, "--socket", socket, "--location-name", site)


def write_dagster_home(settings: Settings, code_sockets: Mapping[SiteName, Path]) -> Path:
    """Lay out ``DAGSTER_HOME``: the instance's configuration, the workspace, and a place for the sockets.

    Returns
    -------
    pathlib.Path
        The workspace file.

    Raises
    ------
    PermissionError
        The directory of the sockets belongs to somebody else.
    """
    for place in {path.parent for path in code_sockets.values()}:
        _make_private(place)
    directory = ensure_dagster_home(settings)
    workspace = directory / "workspace.yaml"
    servers = [
        {"grpc_server": {"socket": str(path), "location_name": name}} for name, path in code_sockets.items()
    ]
    workspace.write_text(yaml.safe_dump({"load_from": servers}))
    return workspace


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise PermissionError(f"{directory} belongs to another user")
    directory.chmod(0o700)


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
