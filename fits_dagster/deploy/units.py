"""Units of systemd for the programs of a machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fits_dagster.deploy.programs import BACKUP, PREPARE, Program, programs
from fits_dagster.settings import Settings, SiteName
from fits_dagster.system.home import code_socket

__all__ = ["Machine", "UnsuitableHomeError", "unit_files", "write_units"]

TARGET: Final = "fits.target"
#: What waits for a database or a broker that is away tries again so often.
#: Daily backups that are kept, and when they are made: between the nights of both hemispheres.
_BACKUPS_KEPT: Final = 14
_BACKUP_AT: Final = "21:30"
_PAUSE_S: Final = 10
#: What no program of ours needs.
_HARDENED: Final = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={protect_home}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
CapabilityBoundingSet=
UMask=0027
"""


class UnsuitableHomeError(ValueError):
    """The home directory does not fit for services."""


@dataclass(frozen=True)
class Machine:
    """Where and as whom the programs run."""

    settings: Settings
    sites: Sequence[SiteName]
    user: str
    #: Python of the environment in which fits_dagster is installed.
    python: Path

    @property
    def dagster_home(self) -> Path:
        """Directory of Dagster's instance."""
        return self.settings.home / "dagster"

    def environment(self) -> dict[str, str]:
        """Return what every program has in its environment."""
        return {
            "FITS_DAGSTER_HOME": str(self.settings.home),
            "DAGSTER_HOME": str(self.dagster_home),
            "FITS_DAGSTER_WORKSPACE": str(self.dagster_home / "workspace.yaml"),
            # a few memory pools for all threads of a process do
            "MALLOC_ARENA_MAX": "2",
        }

    def writable(self) -> list[Path]:
        """Return the directories that the programs write; everything else is read-only for them."""
        places = [self.settings.home]
        if self.settings.backups and not self.settings.backups.startswith("s3://"):
            places.append(Path(self.settings.backups).expanduser().absolute())
        for name in self.sites:
            site = self.settings.site(name)
            places += [site.staging_directory] if site.staging_directory is not None else []
            if site.store == "directory" and site.store_directory is not None:
                places.append(site.store_directory)
        home = self.settings.home
        return [home, *sorted({place for place in places if not place.is_relative_to(home)})]


def unit_files(machine: Machine) -> dict[str, str]:
    """Write the units of a machine; returns their texts by file name.

    Raises
    ------
    UnsuitableHomeError
        The home's path is too long for the sockets of the code servers.
    """
    home = machine.settings.home
    sockets = {site: str(code_socket(machine.settings, site)) for site in machine.sites}
    if outside := [path for path in sockets.values() if not Path(path).is_relative_to(home)]:
        raise UnsuitableHomeError(
            f"{home} is too long for sockets, which would be in {outside[0]}, where services do not meet: "
            "choose a shorter home"
        )
    workspace = str(machine.dagster_home / "workspace.yaml")
    services = programs(machine.settings, machine.sites, workspace=workspace, sockets=sockets)
    files = {f"{program.name}.service": _service(machine, program) for program in services}
    files[f"{PREPARE}.service"] = _prepare(machine)
    files[f"{BACKUP}.service"], timer = _backup(machine)
    # the timer starts the backup, so the target has the timer alone
    wanted = {*files, f"{BACKUP}.timer"} - {f"{BACKUP}.service"}
    files |= {f"{BACKUP}.timer": timer, TARGET: _target(machine, wanted)}
    return files


def write_units(machine: Machine, directory: Path) -> list[Path]:
    """Write the units into a directory; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in sorted(unit_files(machine).items()):
        path = directory / name
        path.write_text(content)
        written.append(path)
    return written


def _service(machine: Machine, program: Program) -> str:
    after = " ".join(f"{name}.service" for name in (PREPARE, *program.after))
    return f"""\
[Unit]
Description=fits_dagster: {program.description}
Wants={PREPARE}.service
After=network-online.target {after}
PartOf={TARGET}
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={_command(machine, program.arguments)}
Restart=always
RestartSec={_PAUSE_S}
KillMode=mixed
TimeoutStopSec={program.stop_seconds}
Nice={program.niceness}
MemoryMax={program.memory_max}
{_surroundings(machine)}
[Install]
WantedBy={TARGET}
"""


def _prepare(machine: Machine) -> str:
    """Write the unit that makes directories, databases and Dagster's instance ready before all others."""
    arguments = ("-m", "fits_dagster", "deploy", "prepare")
    return f"""\
[Unit]
Description=fits_dagster: databases, directories and Dagster's instance
Wants=network-online.target
After=network-online.target postgresql.service valkey.service redis.service
PartOf={TARGET}

[Service]
Type=oneshot
RemainAfterExit=yes
Restart=on-failure
RestartSec={_PAUSE_S}
ExecStart={_command(machine, arguments)}
TimeoutStartSec=600
{_surroundings(machine)}
[Install]
WantedBy={TARGET}
"""


def _backup(machine: Machine) -> tuple[str, str]:
    """Write the unit that backs up the databases, and its timer."""
    arguments = ("-m", "fits_dagster", "backup", "--verify", "--keep", str(_BACKUPS_KEPT))
    service = f"""\
[Unit]
Description=fits_dagster: backup of the databases, verified
After={PREPARE}.service

[Service]
Type=oneshot
ExecStart={_command(machine, arguments)}
Nice=15
{_surroundings(machine)}"""
    timer = f"""\
[Unit]
Description=fits_dagster: daily backup of the databases
PartOf={TARGET}

[Timer]
OnCalendar=*-*-* {_BACKUP_AT} UTC
RandomizedDelaySec=600
Persistent=true

[Install]
WantedBy={TARGET}
"""
    return service, timer


def _target(machine: Machine, names: Iterable[str]) -> str:
    return f"""\
[Unit]
Description=fits_dagster ({", ".join(machine.sites)})
Wants={" ".join(sorted(names))}

[Install]
WantedBy=multi-user.target
"""


def _surroundings(machine: Machine) -> str:
    """Write what is the same for all: user, environment, and what is kept from them."""
    variables = "".join(f"Environment={_quoted(f'{k}={v}')}\n" for k, v in machine.environment().items())
    writable = " ".join(_quoted(str(path)) for path in machine.writable())
    at_home = any(
        path.is_relative_to(place)
        for path in (machine.settings.home, machine.python)
        for place in (Path("/home"), Path("/root"))
    )
    hardened = _HARDENED.format(protect_home="read-only" if at_home else "yes")
    return (
        f"User={machine.user}\n{variables}EnvironmentFile=-/etc/fits_dagster/environment\n"
        f"WorkingDirectory={_quoted(str(machine.settings.home))}\n{hardened}ReadWritePaths={writable}\n"
    )


def _command(machine: Machine, arguments: Sequence[str]) -> str:
    return " ".join(map(_quoted, (str(machine.python), *arguments)))


def _quoted(word: str) -> str:
    """Write a word so that systemd reads it as it is."""
    escaped = word.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"')
    return f'"{escaped}"' if any(letter in word for letter in " \t\"'\\;") else escaped
