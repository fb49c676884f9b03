"""Options that several commands share."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Any

import click

__all__ = ["StageName", "home_option", "json_option", "person_at_the_keyboard", "site_option"]

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


class StageName(click.ParamType):  # type: ignore[type-arg]
    """The name of a stage. What stages there are is looked up when one is given, not for every command."""

    name = "stage"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what is no stage."""
        from fits_dagster.stages.registry import all_stages

        if value not in all_stages():
            self.fail(f"{value!r} is no stage; there are {', '.join(all_stages())}", param, ctx)
        return str(value)


def person_at_the_keyboard() -> str:
    """Return who runs a command, for the audit."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()} (command line)"
