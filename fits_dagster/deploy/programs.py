"""The programs of a site as services, under the names by which operators ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fits_dagster.settings import Settings, SiteName, SiteSettings
from fits_dagster.stages.registry import stages_of
from fits_dagster.system.home import code_server

__all__ = ["BACKUP", "DAEMON", "PREPARE", "Program", "programs", "worker_services"]

PREPARE: Final = "fits-prepare"
BACKUP: Final = "fits-backup"
DAEMON: Final = "fits-dagster-daemon"

#: The service of a site that works at no stage, and its queue.
_OPERATIONS: Final = "operations"
#: Runs of one service at a time.
_RUNS: Final = 4
#: Seconds for what would wait for ticks, which last longer, and loses nothing by being killed.
_TICKING_STOP_S: Final = 2


@dataclass(frozen=True)
class Program:
    """One service."""

    #: Name of the unit, without ``.service``.
    name: str
    description: str
    #: Arguments of Python.
    arguments: tuple[str, ...]
    #: It is killed, and started again, when it takes more.
    memory_max: str
    #: Services that must be there before, by name; it is stopped before them.
    after: tuple[str, ...] = ()
    niceness: int = 0
    #: Seconds to finish what is in hand.
    stop_seconds: int = 15


def worker_services(site: SiteSettings) -> Iterator[tuple[str, str, str]]:
    """Yield name, queue and duty of the services of a site that work; operators know them by these names."""
    for stage in stages_of(site):
        for service in stage.services or (f"service_{stage.name}_queue",):
            yield service, stage.name, stage.duty
    yield _OPERATIONS, _OPERATIONS, "rescans, upkeep and checks"


def programs(
    settings: Settings, sites: Sequence[SiteName], *, workspace: str, sockets: dict[SiteName, str]
) -> list[Program]:
    """Return the services of one machine that runs some sites.

    Parameters
    ----------
    workspace
        Dagster's workspace file.
    sockets
        Unix socket of each site's code server.
    """
    found: list[Program] = []
    for site in sites:
        found += _of_site(settings, site, sockets[site], is_alone=len(sites) == 1)
    earlier = tuple(program.name for program in found if "web" not in program.name)
    daemon = ("-m", "dagster._daemon", "run", "-w", workspace)
    about = "Dagster's daemon: sensors, schedules, runs"
    found.append(Program(DAEMON, about, daemon, "2G", earlier, stop_seconds=_TICKING_STOP_S))
    alerts = Program(
        "fits-alerts", "notifies people of trouble", ("-m", "fits_dagster.alerts"), "1G", niceness=10
    )
    return [*found, alerts]


def _of_site(settings: Settings, site: SiteName, socket: str, *, is_alone: bool) -> Iterator[Program]:
    code = code_server(site, socket)
    about = f"Dagster's code server of the {site}"
    yield Program(f"fits-code-{site}", about, code, "2G", stop_seconds=_TICKING_STOP_S)
    web = ("-m", "fits_dagster.web", site)
    yield Program(f"fits-web-{site}", f"web application of the {site}", web, "4G", (f"fits-code-{site}",))
    for service, queue, duty in worker_services(settings.site(site)):
        # two sites on one machine have services of the same name
        name = f"fits-{service}" if is_alone else f"fits-{site}-{service}"
        worker = ("-m", "fits_dagster", "worker", "--site", site, "--stages", queue)
        yield Program(
            name,
            f"{duty} ({site})",
            (*worker, "--concurrency", str(_RUNS)),
            "6G",
            stop_seconds=60,
        )
