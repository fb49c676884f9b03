"""Commands that run the system and look at it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fits_dagster.cli.options import home_option, json_option
from fits_dagster.settings import load_settings
from fits_dagster.startup import quick_imports

if TYPE_CHECKING:
    from fits_dagster.system.up import System

__all__ = ["migrate", "status", "up"]


@click.command()
@click.option(
    "--for-dagster-dev", is_flag=True, hidden=True, help="Without what `dagster dev` brings; it starts this."
)
@home_option
def up(home: Path, for_dagster_dev: bool) -> None:
    """Start the system: databases, Dagster, the sites' web applications.

    Settings come from HOME/settings.toml and from FITS_DAGSTER_* environment variables. Programs that die are
    started again. Ctrl-C or SIGTERM stops everything.
    """
    with quick_imports():
        from rich.console import Console

        from fits_dagster.system.home import AlreadyRunningError
        from fits_dagster.system.up import running_system, stop_on_sigterm, wait_for_signal

    console = Console(stderr=True)
    settings = load_settings(home)
    try:
        with (
            stop_on_sigterm(),
            running_system(
                settings, dagster=not for_dagster_dev, tell=lambda what: console.print(f"… {what}")
            ) as system,
        ):
            if for_dagster_dev:
                _serve_dagster_dev(system)
                return
            for site, url in system.urls.items():
                console.print(f"[bold]{site}[/]: {url}/queuestatus   Dagster: {url}/dagster")
            console.print("Running. Ctrl-C stops everything.")
            wait_for_signal(system)
    except AlreadyRunningError as error:
        console.print(str(error), soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _serve_dagster_dev(system: System) -> None:
    """Say what the processes of `dagster dev` need in their environment, and run until it ends."""
    from fits_dagster.system.up import environment, wait_for_signal

    click.echo(json.dumps(environment(system.settings)))
    dev = os.getppid()
    wait_for_signal(system, until=lambda: os.getppid() != dev)


@click.command()
@home_option
@json_option
def status(home: Path, as_json: bool) -> None:
    """Say in five lines what runs, what waits, what failed, and what came and went last.

    Where there is much to do, a line says how much is left, at which rate, and when it will be done.
    """
    with quick_imports():
        from fits_dagster.system.status import system_status

    found = system_status(load_settings(home))
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2, default=str))
    else:
        for line in found.lines():
            click.echo(line)
    sys.exit(0 if found.is_running else 3)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and who may go on beside it.")
@home_option
def migrate(dry_run: bool, home: Path) -> None:
    """Make the databases that are missing and apply the migrations.

    A system may run meanwhile where its version may go on beside this one; `--dry-run` says so. There is no
    way back but a backup: make one before (`fits-dagster backup`).
    """
    from fits_dagster.database.server import stop_embedded_server
    from fits_dagster.schema.migrate import SchemaVersionError
    from fits_dagster.system.database import planned_migrations, prepare_databases
    from fits_dagster.system.home import read_running

    settings = load_settings(home)
    if dry_run:
        try:
            for line in planned_migrations(settings):
                click.echo(line)
        except (SchemaVersionError, FileNotFoundError) as error:
            raise click.ClickException(str(error)) from error
        return
    prepare_databases(settings)
    if not settings.database_url and read_running(settings) is None:
        stop_embedded_server(settings)
    click.echo(f"databases of {', '.join(settings.sites)} are up to date")
