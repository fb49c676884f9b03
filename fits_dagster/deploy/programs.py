"""The programs of a site as services, under the names by which operators ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fits_dagster.settings import SiteName
from fits_dagster.system.home import code_server

__all__ = ["DAEMON", "PREPARE", "WORKER_STAGES", "Program", "programs"]

PREPARE: Final = "fits-prepare"
DAEMON: Final = "fits-dagster-daemon"

#: The services that work through the stages; one that operators know keeps its name.
WORKER_STAGES: Final[dict[SiteName, dict[str, str]]] = {
    "summit": {
        "copy_from_dhs": "copy",
        "service_ingest_queue1": "ingest",
        "service_ingest_queue2": "ingest",
        "service_export_queue1": "export",
        "service_export_queue2": "export",
        "service_fileops_queue": "edit",
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
_STAGE_WORDS: Final = {
    "copy": "copies files from the DHS",
    "ingest": "ingests files into the database",
    "export": "sends files to the destinations",
    "edit": "applies header updates",
    "store": "stores uploaded files",
    "preview": "makes previews",
    "associate": "associates calibrations",
    "operations": "rescans, upkeep and checks",
}
#: Runs of one service at a time.
_RUNS: Final = 4


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


def programs(sites: Sequence[SiteName], *, workspace: str, sockets: dict[SiteName, str]) -> list[Program]:
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
        found += _of_site(site, sockets[site], is_alone=len(sites) == 1)
    earlier = tuple(program.name for program in found if "web" not in program.name)
    daemon = ("-m", "dagster._daemon", "run", "-w", workspace)
    found.append(Program(DAEMON, "Dagster's daemon: sensors, schedules, runs", daemon, "2G", earlier))
    alerts = Program(
        "fits-alerts", "tells people of trouble", ("-m", "fits_dagster.alerts"), "1G", niceness=10
    )
    return [*found, alerts]


def _of_site(site: SiteName, socket: str, *, is_alone: bool) -> Iterator[Program]:
    code = code_server(site, socket)
    yield Program(f"fits-code-{site}", f"Dagster's code server of the {site}", code, "2G")
    web = ("-m", "fits_dagster.web", site)
    yield Program(f"fits-web-{site}", f"web application of the {site}", web, "4G", (f"fits-code-{site}",))
    for service, stage in WORKER_STAGES[site].items():
        # two sites on one machine have services of the same name
        name = f"fits-{service}" if is_alone else f"fits-{site}-{service}"
        worker = ("-m", "fits_dagster", "worker", "--site", site, "--stages", stage)
        yield Program(
            name,
            f"{_STAGE_WORDS[stage]} ({site})",
            (*worker, "--concurrency", str(_RUNS)),
            "6G",
            stop_seconds=60,
        )
