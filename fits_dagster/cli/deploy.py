"""``fits-dagster deploy``: what others need to run the programs of a machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from fits_dagster.cli.options import home_option, sites_option
from fits_dagster.settings import SiteName, load_settings

__all__ = ["deploy"]


@click.group()
def deploy() -> None:
    """Let systemd run the programs of this machine instead of `up`."""


@deploy.command()
@sites_option(required=True, help="Site of this machine; may be given more than once.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory.")
@click.option("--user", default="fitsdata", show_default=True, help="User who runs the programs.")
@click.option(
    "--python",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(sys.executable),
    help="Python in which fits_dagster is installed there.  [default: this one]",
)
@home_option
def systemd(sites: Sequence[SiteName], out: Path, user: str, python: Path, home: Path) -> None:
    """Write a unit for each program: web, code server, daemon, workers, alerts.

    Directories come from the settings in HOME. Everything but HOME, stores and staging directories is
    read-only for the programs.
    """
    from fits_dagster.deploy.units import Machine, UnsuitableHomeError, write_units

    settings = load_settings(home)
    # python of a virtual environment is a link that must not be followed
    machine = Machine(settings, sites, user, python.absolute())
    try:
        written = write_units(machine, out)
    except UnsuitableHomeError as error:
        raise click.ClickException(str(error)) from error
    for path in written:
        click.echo(path)
    click.echo(
        "\nCopy them to /etc/systemd/system, then: systemctl daemon-reload; "
        "systemctl enable --now fits.target; systemctl status 'fits-*'",
        err=True,
    )


@deploy.command()
@home_option
def prepare(home: Path) -> None:
    """Make directories, databases and Dagster's instance ready; the first of the services does it."""
    from fits_dagster.deploy.prepare import NotForServicesError, prepare_machine

    try:
        workspace = prepare_machine(load_settings(home))
    except (NotForServicesError, subprocess.CalledProcessError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"ready; Dagster's workspace is {workspace}")
