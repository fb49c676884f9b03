"""What ``fits-dagster up`` does before it starts programs, for a machine whose programs others start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from fits_dagster.broker import wait_for_broker
from fits_dagster.database.server import dagster_url
from fits_dagster.settings import Settings
from fits_dagster.system.database import prepare_databases
from fits_dagster.system.home import (
    code_socket,
    edit_cookie,
    ensure_directories,
    upload_cookie,
    write_dagster_home,
)

__all__ = ["NotForServicesError", "prepare_machine"]

_PATIENCE_S: Final = 300


class NotForServicesError(RuntimeError):
    """The settings leave something to ``fits-dagster up`` that services must have of their own."""


def prepare_machine(settings: Settings) -> Path:
    """Make directories, databases and Dagster's instance ready; safe to repeat.

    Returns
    -------
    pathlib.Path
        Dagster's workspace file.

    Raises
    ------
    NotForServicesError
        The settings name no database or no broker; the embedded ones belong to ``fits-dagster up``.
    subprocess.CalledProcessError
        Dagster's instance could not be made ready.
    """
    missing = [
        name
        for name, value in (
            ("database_url", settings.database_url),
            ("broker_url", settings.broker_url.get_secret_value()),
        )
        if not value
    ]
    if missing:
        raise NotForServicesError(
            f"set {' and '.join(missing)}: the embedded database and broker are those of 'fits-dagster up'"
        )
    ensure_directories(settings)
    if len(settings.sites) > 1:
        # the two sites of one machine share secrets
        upload_cookie(settings)
        edit_cookie(settings)
    prepare_databases(settings)
    wait_for_broker(settings)
    workspace = write_dagster_home(settings, {site: code_socket(settings, site) for site in settings.sites})
    variables = {
        **os.environ,
        "DAGSTER_HOME": str(workspace.parent),
        "FITS_DAGSTER_HOME": str(settings.home),
        "FITS_DAGSTER_DAGSTER_URL": dagster_url(settings).render_as_string(hide_password=False),
    }
    command = [sys.executable, "-m", "fits_dagster.orchestration.instance"]
    subprocess.run(command, env=variables, stdin=subprocess.DEVNULL, timeout=_PATIENCE_S, check=True)
    return workspace
