"""Commands for the people who may log in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from fits_dagster.cli.options import home_option, person_at_the_keyboard, site_option
from fits_dagster.fits.names import trimmed
from fits_dagster.settings import SiteName, load_settings

if TYPE_CHECKING:
    from fits_dagster.web.accounts import Role

__all__ = ["user"]

#: What data can be granted by.
_KINDS: Final[tuple[Literal["program", "observation", "file"], ...]] = ("program", "observation", "file")


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
                rights = sorted(f"{right.kind} {right.value}" for right in person.data_rights)
                click.echo(f"{person.username}  {person.role or '-'}  {', '.join(rights)}".rstrip())
    finally:
        opened.close()


def _data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command name data: a program's, an observation's, a file."""
    for kind in reversed(_KINDS):
        metavar = "NAME" if kind == "file" else "ID"
        command = click.option(f"--{kind}", f"{kind}s", multiple=True, metavar=metavar)(command)
    return command


@user.command("grant")
@click.argument("name")
@_data_options
@site_option("archive")
@home_option
def grant(name: str, site: SiteName, home: Path, **data: tuple[str, ...]) -> None:
    """Let a user see data that are not released yet: those of a program, of an observation, or a file."""
    _change_rights(name, site, home, data, is_granted=True)


@user.command("withdraw")
@click.argument("name")
@_data_options
@site_option("archive")
@home_option
def withdraw(name: str, site: SiteName, home: Path, **data: tuple[str, ...]) -> None:
    """Take back what was granted."""
    _change_rights(name, site, home, data, is_granted=False)


def _change_rights(
    name: str, site: SiteName, home: Path, data: Mapping[str, tuple[str, ...]], *, is_granted: bool
) -> None:
    from fits_dagster.sites import open_site
    from fits_dagster.web.accounts import DataRight, grant_data, withdraw_data

    change = grant_data if is_granted else withdraw_data
    rights = [DataRight(kind, trimmed(value)) for kind in _KINDS for value in data[f"{kind}s"]]
    if not rights:
        raise click.UsageError("say which data: --program, --observation or --file")
    opened = open_site(load_settings(home), site)
    try:
        for right in rights:
            if not change(opened.engine, name, right, who=person_at_the_keyboard()):
                missing = f"there is no user {name}" if is_granted else f"{name} has no such right"
                raise click.ClickException(f"{right.kind} {right.value}: {missing}")
            said = "granted to" if is_granted else "withdrawn from"
            click.echo(f"{site}: {right.kind} {right.value} {said} {name}")
    finally:
        opened.close()
