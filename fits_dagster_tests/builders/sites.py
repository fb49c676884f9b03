"""Two sites with brisk times, and web applications that answer on a port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from sqlalchemy import URL

from fits_dagster.settings import Settings, load_settings
from fits_dagster.sites import Site
from fits_dagster.web.app import create_app

__all__ = ["COOKIE", "HttpServer", "brisk_settings", "serve", "served"]

#: Cookie that exports carry in tests.
COOKIE = "a-secret-of-the-tests"


def brisk_settings(home: Path, *, summit: URL, archive: URL) -> Settings:
    """Make settings of both sites that wait for nothing, on databases of their own; directories are made."""
    work = {
        "workers": 2,
        "linger_seconds": 0,
        "associate_again_seconds": 0,
        "tick_seconds": 0,
        "poll_seconds": 0.05,
        "retry_base_seconds": 0.05,
        "lease_seconds": 5,
    }
    loaded = load_settings(
        home,
        work=work,
        summit={
            "database_url": _text(summit),
            "dhs_stable_seconds": 0,
            "dhs_give_up_seconds": 0,
            "defer_seconds": 0,
            "export_cookie": COOKIE,
            "port": 1,
        },
        archive={
            "database_url": _text(archive),
            "upload_cookies": [COOKIE],
            "defer_seconds": 0,
            "port": 2,
        },
    )
    for site in (loaded.summit, loaded.archive):
        for directory in (site.dhs_directory, site.store_directory, site.staging_directory):
            if directory is not None:
                directory.mkdir(parents=True)
    return loaded


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@dataclass(frozen=True)
class HttpServer:
    """A web application that answers on a port."""

    url: str
    server: uvicorn.Server


def serve(app: object) -> tuple[HttpServer, Callable[[], None]]:
    """Serve an ASGI application on a free port; returns the server and how to stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1, proxy_headers=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 15
    while not server.started:
        assert time.monotonic() < deadline, "the web application did not start"
        time.sleep(0.01)

    def stop() -> None:
        server.should_exit = True
        thread.join(10)

    return HttpServer(f"http://127.0.0.1:{port}", server), stop


@contextmanager
def served(site: Site, **changes: object) -> Iterator[HttpServer]:
    """Serve the web application of a site with some settings changed."""
    changed = replace(site, settings=site.settings.model_copy(update=changes))
    server, stop = serve(create_app(changed, session_hours=1))
    try:
        yield server
    finally:
        stop()
