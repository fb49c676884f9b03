"""What a second host is worth: a backlog with one worker and with two, and with one that is cut off."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.buckets import served_bucket
from benchmarks.hosts import Network, network, network_database
from fits_dagster.broker import broker_url, embedded_broker
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.settings import Settings, load_settings
from fits_dagster.simulator import simulate_night
from fits_dagster.sites import Site, opened_site
from fits_dagster.storage.landing import md5_of
from fits_dagster.system.home import ensure_directories
from fits_dagster.system.ports import free_port
from fits_dagster.system.up import System, environment, running_system

__all__ = ["Scale", "measure_scale", "print_scale"]

_AIM: Final = 1.7
_SAMPLES: Final = 20
_PATIENCE_S: Final = 120.0
_LEASE_S: Final = 10.0
_RUNS: Final = 4
_BUCKET: Final = "fits-dagster-bench"


@dataclass
class Scale:
    """A system whose workers live on other hosts, and backlogs of the archive's ingest."""

    system: System
    network: Network
    site: Site
    files: int
    _batch: int = 0

    def start_worker(self, number: int) -> None:
        """Start the worker of a host, and wait until it takes runs."""
        host = self.network.hosts[number]
        home = self.system.settings.home
        variables = {**os.environ, **environment(self.system.settings), "DAGSTER_HOME": str(home / "dagster")}
        command = [sys.executable, "-m", "fits_dagster", "worker", "--site", "archive", "--concurrency", "8"]
        log_file = home / "logs" / f"worker-{host.name}.log"
        host.run(command, variables, log_file)
        self.wait(lambda: _is_ready(host.group), "the worker is ready")

    def queue(self) -> list[str]:
        """Queue a backlog; returns its names."""
        names = [f"N{20250101 + self._batch}S{number:04d}.fits" for number in range(1, self.files + 1)]
        self._batch += 1
        with tempfile.TemporaryDirectory(dir=self.system.settings.home) as directory:
            sources = simulate_night(Path(directory), files=_SAMPLES)
            for index, name in enumerate(names):
                source = sources[index % len(sources)]
                self.site.store.put(source, name, md5=md5_of(source))
        with self.site.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", filename=name, no_defer=True) for name in names])
        return names

    def done(self, names: list[str]) -> list[float]:
        """Return when each file of a backlog was ingested, seconds since the epoch, in order."""
        query = text(
            "select extract(epoch from at) from event "
            "where stage = 'ingest' and outcome = 'ingested' and filename = any(:names) order by at"
        )
        with self.site.engine.connect() as connection:
            return [float(at) for at in connection.scalars(query, {"names": names})]

    def rate(self) -> float:
        """Work through a backlog; returns files a second, its first and last twentieth left out."""
        names = self.queue()
        self.wait(lambda: len(self.done(names)) >= len(names), "the backlog is done")
        at, edge = self.done(names), max(1, self.files // 20)
        return (len(at) - 2 * edge) / (at[-edge] - at[edge])

    def cut_one_off(self) -> dict[str, float]:
        """Cut the second host off in the middle of a backlog; returns how the first one takes over."""
        names = self.queue()
        self.wait(lambda: len(self.done(names)) >= len(names) // 4, "a quarter of the backlog is done")
        host = self.network.hosts[1]
        held = self._held_by(host.name)
        host.cut()
        cut = time.time()
        try:
            self.wait(lambda: len(self.done(names)) >= len(names), "the first host has done it all")
            last_of_the_other = self._last_settled(names, held)
        finally:
            host.mend()
        # what the other one still had in hand comes back now, and is refused
        time.sleep(_LEASE_S)
        at = self.done(names)
        return {
            "files": len(names),
            "done": len(at),
            "done_twice": len(at) - len(names),
            "seconds_to_the_end": round(at[-1] - cut, 1),
            "taken_over_after_s": round(last_of_the_other - cut, 1) if held else 0.0,
        }

    def _held_by(self, _name: str) -> list[str]:
        with self.site.engine.connect() as connection:
            return list(connection.scalars(text("select filename from work_item where state = 'running'")))

    def _last_settled(self, names: list[str], held: list[str]) -> float:
        at = self.done([name for name in names if name in held])
        return at[-1] if at else 0.0

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Keep the system running until something is so."""
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                logs = sorted((self.system.settings.home / "logs").glob("worker-*.log"))
                told = "\n".join(log.read_text(errors="replace")[-2000:] for log in logs)
                raise RuntimeError(f"{what}: not within {_PATIENCE_S:.0f} s\n{told}")
            self.system.look()
            time.sleep(0.2)


@contextmanager
def scaled_system(
    home: Path | None, *, store: Literal["directory", "s3"], files: int, share: float
) -> Iterator[Scale]:
    """Run PostgreSQL, broker and archive here, with two hosts for workers beside them."""
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(
            prefix="fits-dagster-bench-", dir=home, ignore_cleanup_errors=True
        ) as name,
        network(2, share=share) as hosts,
        network_database(Path(name) / "postgresql", hosts.address, free_port(host=hosts.address)) as database,
        _store(store, hosts.address) as archive_store,
    ):
        Path(name).chmod(0o755)
        base = load_settings(Path(name) / "home")
        port = free_port(host=hosts.address)
        command = embedded_broker(base, port, hosts.address)
        broker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            settings = _settings(base, database, hosts.address, archive_store)
            ensure_directories(settings)
            with running_system(settings) as system, opened_site(system.settings, "archive") as site:
                yield Scale(system, hosts, site, files)
                for host in hosts.hosts:
                    host.stop()
        finally:
            broker.terminate()
            broker.wait()


def _settings(base: Settings, database: str, address: str, archive_store: Mapping[str, object]) -> Settings:
    return load_settings(
        base.home,
        database_url=database,
        broker_url=broker_url(base),
        sites=("archive",),
        work={
            "workers": 1,
            "lease_seconds": _LEASE_S,
            "linger_seconds": 5.0,
            "batch_size": 8,
            "worker_processes": 0,
            "runs_per_backlog": {"ingest": _RUNS},
        },
        archive={
            "host": address,
            "port": free_port(host=address),
            "using_previews": False,
            "using_calibration_cache": False,
            "min_free_bytes": 0,
            **archive_store,
        },
    )


@contextmanager
def _store(kind: Literal["directory", "s3"], address: str) -> Iterator[Mapping[str, object]]:
    """Yield the settings of a site with a store; S3 is served on an address."""
    if kind == "directory":
        yield {}
        return
    with tempfile.TemporaryDirectory() as directory, served_bucket("moto", Path(directory), address) as s3:
        yield {"store": "s3", "s3": s3.model_dump()}


def measure_scale(
    home: Path | None,
    *,
    files: int = 400,
    share: float = 0.3,
    store: Literal["directory", "s3"] = "directory",
) -> dict[str, Any]:
    """Ingest a backlog with one host and with two, then with one that is cut off in the middle.

    Parameters
    ----------
    files
        Of each backlog.
    share
        Of a processor, for each host.
    store
        How the files reach the hosts.

    Returns
    -------
    dict
        Ready for JSON: ``files_per_s_one``, ``files_per_s_two``, ``ratio``, and ``cut_off``.
    """
    with scaled_system(home, store=store, files=files, share=share) as scale:
        scale.start_worker(0)
        scale.rate()  # what is imported and opened for the first time
        one = scale.rate()
        scale.start_worker(1)
        scale.rate()
        two = scale.rate()
        cut_off = scale.cut_one_off()
    return {
        "bench": "scale",
        "store": store,
        "files": files,
        "processor_share": share,
        "files_per_s_one": round(one, 2),
        "files_per_s_two": round(two, 2),
        "ratio": round(two / one, 2),
        "cut_off": cut_off,
        "aim": f"ratio >= {_AIM}; taken over within the lease of {_LEASE_S:.0f} s and 30 s; nothing twice",
        "reached": two / one >= _AIM
        and cut_off["done_twice"] == 0
        and cut_off["taken_over_after_s"] <= _LEASE_S + 30,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def print_scale(figures: Mapping[str, Any], console: Console) -> None:
    """Show the figures as a table."""
    table = Table("hosts", "files/s")
    table.add_row("one", f"{figures['files_per_s_one']:.1f}")
    table.add_row("two", f"{figures['files_per_s_two']:.1f}")
    console.print(table)
    console.print(
        f"ratio {figures['ratio']}; one cut off: {figures['cut_off']}; store: {figures['store']}; "
        f"{figures['processor_share']} of a processor each; aim: {figures['aim']}",
        style="dim",
        highlight=False,
    )


def _is_ready(group: Path) -> bool:
    """Tell whether a worker of a host has forked its first child."""
    return len((group / "cgroup.procs").read_text().split()) >= 2
