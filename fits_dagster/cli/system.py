"""Commands that run the system and look at it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fits_dagster.cli.options import home_option, json_option, person_at_the_keyboard, site_option
from fits_dagster.settings import SiteName, load_settings

if TYPE_CHECKING:
    from fits_dagster.system.up import System
    from fits_dagster.web.accounts import Role

__all__ = ["migrate", "status", "up", "user"]


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
    """Say in five lines what runs, what waits, what failed, and what came and went last."""
    from fits_dagster.system.status import system_status

    found = system_status(load_settings(home))
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2, default=str))
    else:
        for line in found.lines():
            click.echo(line)
    sys.exit(0 if found.is_running else 3)


@click.command()
@home_option
def migrate(home: Path) -> None:
    """Make the databases that are missing and apply the migrations."""
    from fits_dagster.database.server import stop_embedded_server
    from fits_dagster.system.database import prepare_databases
    from fits_dagster.system.home import read_running

    settings = load_settings(home)
    prepare_databases(settings)
    if not settings.database_url and read_running(settings) is None:
        stop_embedded_server(settings)
    click.echo(f"databases of {', '.join(settings.sites)} are up to date")


@click.group()
def user() -> None:
    """The people who may log in."""


@user.command("add")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["reader", "operator", "staff", "none"]),
    help="reader: may look at queues and runs; operator: may also try again, cancel and pause; "
    "staff: may also read data that are not released yet. Not given: an existing user keeps the role.",
)
@click.option("--staff", is_flag=True, help="Short for --role staff.")
@click.option("--fullname")
@click.option("--password", help="Asked for when it is not given here.")
@site_option("archive")
@click.option("--both", is_flag=True, help="Add the user to all sites of this machine.")
@home_option
def add(
    name: str,
    role: Role | Literal["none"] | None,
    staff: bool,
    fullname: str | None,
    password: str | None,
    site: SiteName,
    both: bool,
    home: Path,
) -> None:
    """Add a user, or give one a new password and role. This ends the user's sessions."""
    from fits_dagster.sites import open_site
    from fits_dagster.web.accounts import WeakPasswordError, add_user

    if password is None:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    role = "staff" if staff else role
    new_role: Role | None = None if role == "none" else role
    settings = load_settings(home)
    for one in settings.sites if both else (site,):
        opened = open_site(settings, one)
        try:
            new = add_user(
                opened.engine,
                name,
                password,
                role=new_role,
                fullname=fullname,
                keep_role=role is None,
                who=person_at_the_keyboard(),
            )
        except WeakPasswordError as error:
            raise click.ClickException(str(error)) from error
        finally:
            opened.close()
        click.echo(f"{one}: user {name} {'added' if new else 'changed'}{f', {role}' if role else ''}")


@user.command("list")
@site_option("archive")
@home_option
def list_(site: SiteName, home: Path) -> None:
    """List the users of a site."""
    from fits_dagster.sites import open_site
    from fits_dagster.web.accounts import list_users

    opened = open_site(load_settings(home), site)
    try:
        with opened.engine.connect() as connection:
            for person in list_users(connection):
                click.echo(f"{person.username}  {person.role or '-'}")
    finally:
        opened.close()
