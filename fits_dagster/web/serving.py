"""One site's web application in a process of its own, as the command line of ``python -m`` asks for it."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

import uvicorn

from fits_dagster.broker import count_workers
from fits_dagster.database.server import dagster_url
from fits_dagster.logs import configure_logging
from fits_dagster.monitoring.collector import SiteMetrics
from fits_dagster.settings import load_settings
from fits_dagster.sites import open_site
from fits_dagster.web.app import create_app

__all__ = ["prepare"]

_GRACE_S = 3


def prepare() -> tuple[uvicorn.Server, socket.socket]:
    """Read the command line and the settings; returns a server, and the socket at which it is to listen.

    Raises
    ------
    OSError
        Another program holds the port.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fits_dagster.web", description="Serve one site's web application."
    )
    settings = load_settings()
    parser.add_argument("site", choices=settings.sites)
    arguments = parser.parse_args()
    configure_logging(settings, f"{arguments.site}-web")
    site = open_site(settings, arguments.site)
    figures = SiteMetrics(
        site, dagster_url=dagster_url(settings), count_workers=lambda: count_workers(settings)
    )
    figures.begin()
    workspace = os.environ.get("FITS_DAGSTER_WORKSPACE")
    app = create_app(
        site,
        session_hours=settings.session_hours,
        dagster_workspace=Path(workspace) if workspace else None,
        site_metrics=figures,
    )
    host = site.settings.host
    config = uvicorn.Config(
        app,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=75,
        # it would believe whatever comes from this machine; the site has its trusted_proxies
        proxy_headers=False,
    )
    # who starts us may hold the port for us
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, site.settings.port), family=family, reuse_port=True)
    return uvicorn.Server(config), listening
