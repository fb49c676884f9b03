"""Commands for the tokens of programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fits_dagster.cli.options import home_option, json_option, person_at_the_keyboard, site_option
from fits_dagster.settings import SiteName, load_settings

if TYPE_CHECKING:
    from fits_dagster.web.tokens import Right

__all__ = ["token"]

_YEAR = 365


@click.group()
def token() -> None:
    """The programs that may upload, edit headers, or read as a user may, each with a token."""


@token.command("add")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["upload", "edit", "read"]),
    required=True,
    help="upload: files, and what is known of programs; edit: header edits; read: what a user may see.",
)
@click.option("--user", "owner", metavar="NAME", help="With --scope read: whose rights the program has.")
@click.option("--days", type=click.IntRange(1, 10 * _YEAR), default=_YEAR, show_default=True)
@site_option("archive")
@home_option
def add(name: str, scope: Right, owner: str | None, days: int, site: SiteName, home: Path) -> None:
    """Make a token, and print its value, which is kept nowhere: it cannot be printed again."""
    from fits_dagster.sites import open_site
    from fits_dagster.web.tokens import TokenNameError, add_token

    opened = open_site(load_settings(home), site)
    try:
        value = add_token(opened.engine, name, scope, days=days, who=person_at_the_keyboard(), owner=owner)
    except TokenNameError as error:
        raise click.ClickException(str(error)) from error
    finally:
        opened.close()
    whose = f" as {owner} may" if owner else ""
    click.echo(f"{site}: token {name}, {scope}{whose}, for {days} days; its value, shown only now:", err=True)
    click.echo(value)


@token.command("list")
@site_option("archive")
@json_option
@home_option
def list_(site: SiteName, as_json: bool, home: Path) -> None:
    """List tokens: for what, until when, last used when."""
    from fits_dagster.sites import open_site
    from fits_dagster.web.tokens import list_tokens

    opened = open_site(load_settings(home), site)
    try:
        found = list_tokens(opened.engine)
    finally:
        opened.close()
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2, default=str))
        return
    for each in found:
        state = "valid" if each.is_valid else "revoked" if each.revoked_at else "expired"
        used = f"{each.last_used_at:%Y-%m-%d %H:%M}" if each.last_used_at else "never"
        click.echo(
            f"{each.name:24} {each.scope:6} {state:7} until {each.expires_at:%Y-%m-%d}, last used {used}, "
            f"made by {each.created_by}" + (f", reads as {each.owner}" if each.owner else "")
        )


@token.command("revoke")
@click.argument("name")
@site_option("archive")
@home_option
def revoke(name: str, site: SiteName, home: Path) -> None:
    """Let a token be valid no longer, from the next request on."""
    from fits_dagster.sites import open_site
    from fits_dagster.web.tokens import revoke_token

    opened = open_site(load_settings(home), site)
    try:
        is_there = revoke_token(opened.engine, name, who=person_at_the_keyboard())
    finally:
        opened.close()
    if not is_there:
        raise click.ClickException(f"there is no valid token {name}")
    click.echo(f"{site}: token {name} revoked")
