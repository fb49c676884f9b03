"""Options that several commands share."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import click

__all__ = ["home_option", "json_option", "person_at_the_keyboard", "site_option"]

home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="FITS_DAGSTER_HOME",
    default=Path("var"),
    show_default=True,
    help="Directory that holds everything.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")

site_option = click.option(
    "--site",
    type=click.Choice(["summit", "archive"]),
    default="archive",
    show_default=True,
    help="Which site.",
)


def person_at_the_keyboard() -> str:
    """Return who runs a command, for the audit."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()} (command line)"
