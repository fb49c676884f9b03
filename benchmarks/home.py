"""A home directory for one measurement: its own database server, its own stores, removed afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from fits_dagster.database.server import stop_embedded_server
from fits_dagster.settings import Settings, SiteName, load_settings, write_effective
from fits_dagster.sites import Site, open_site
from fits_dagster.system.database import prepare_databases
from fits_dagster.system.home import ensure_directories
from fits_dagster.system.ports import free_port, wait_until_listening

__all__ = ["bench_home", "bench_site", "served_archive", "with_workers"]

_COOKIE: Final = "bench"
_START_S: Final = 60.0
_STOP_S: Final = 10.0


@contextmanager
def bench_home(parent: Path | None) -> Iterator[Settings]:
    """Make a home with both sites' databases; everything is stopped and removed at the end.

    Parameters
    ----------
    parent
        Directory below which it is made, on the disk that is to be measured; by default that of
        temporary files.
    """
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="fits-dagster-bench-", dir=parent, ignore_cleanup_errors=True
    ) as name:
        settings = _settings(Path(name))
        ensure_directories(settings)
        try:
            prepare_databases(settings)
            yield settings
        finally:
            stop_embedded_server(settings)


def _settings(home: Path) -> Settings:
    """Return settings that name nothing outside the home, whatever the environment says."""
    port = free_port()
    return load_settings(
        home,
        database_url="",
        work={"linger_seconds": 0.0, "poll_seconds": 0.05, "batch_size": 32},
        summit={
            "database_url": "",
            "store": "directory",
            "dhs_directory": home / "dhs",
            "store_directory": home / "summit" / "dataflow",
            "staging_directory": home / "summit" / "staging",
            "dhs_stable_seconds": 0.0,
            "defer_seconds": 0.0,
            "export_destinations": (f"http://127.0.0.1:{port}",),
            "export_path_map": {},
            "export_cookie": _COOKIE,
            "export_api_cookie": _COOKIE,
        },
        archive={
            "database_url": "",
            "host": "127.0.0.1",
            "port": port,
            "store": "directory",
            "store_directory": home / "archive" / "store",
            "staging_directory": home / "archive" / "staging",
            "defer_seconds": 0.0,
            "upload_cookies": (_COOKIE,),
            "api_cookies": (_COOKIE,),
        },
    )


@contextmanager
def bench_site(settings: Settings, name: SiteName) -> Iterator[Site]:
    """Open a site of a home for the time of the context."""
    site = open_site(settings, name)
    try:
        yield site
    finally:
        site.close()


def with_workers(site: Site, workers: int) -> Site:
    """Return the site with another number of workers."""
    return replace(site, work=site.work.model_copy(update={"workers": workers}))


@contextmanager
def served_archive(settings: Settings) -> Iterator[None]:
    """Serve the archive's web application in a process of its own for the time of the context.

    Raises
    ------
    RuntimeError
        It did not start; the message has the end of its output.
    """
    effective = settings.home / "effective.json"
    write_effective(settings, effective)
    output = settings.home / "archive-web.log"
    environment = {**os.environ, "FITS_DAGSTER_EFFECTIVE_SETTINGS": str(effective)}
    environment.pop("FITS_DAGSTER_WORKSPACE", None)
    with output.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "fits_dagster.web", "archive"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        if not wait_until_listening(settings.archive.port, seconds=_START_S):
            raise RuntimeError(f"the archive did not start: {output.read_text(errors='replace')[-2000:]}")
        yield
    finally:
        server.terminate()
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
