"""``fits-dagster``: the commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Final

import click

from fits_dagster import __version__

__all__ = ["main"]

#: Command -> module that holds it; a module is imported only when one of its commands is used.
_COMMANDS = {
    "demo": "demo",
    "up": "system",
    "worker": "worker",
    "status": "system",
    "doctor": "doctor",
    "deploy": "deploy",
    "migrate": "system",
    "user": "system",
    "logs": "logs",
    "queue": "queue",
    "history": "history",
    "add-to-ingest-queue": "requeue",
    "night": "night",
    "reconcile": "night",
    "scrub": "scrub",
    "alerts": "alerts",
    "audit": "audit",
    "upkeep": "upkeep",
    "update-headers": "headers",
    "describe": "describe",
    "simulate": "files",
    "ingest": "files",
    "calibrations": "calibrations",
    "processing-tags": "processing_tags",
    "rebuild-match-keys": "match_keys",
    "bench": "bench",
}


#: Names that commands had before, which go on working.
_FORMER: Final = {"where": "history"}


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *_commands_of_stages()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = _FORMER.get(cmd_name, cmd_name)
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return _commands_of_stages().get(cmd_name) if cmd_name.startswith("add-to-") else None
        command: click.Command = getattr(
            import_module(f"fits_dagster.cli.{module}"), cmd_name.replace("-", "_")
        )
        return command


def _commands_of_stages() -> Mapping[str, click.Command]:
    from fits_dagster.cli.requeue import commands_of_stages

    return commands_of_stages()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Raw FITS files from the telescope's disk to the public archive."""


#: Errors that a person can act on, besides those of the system; looked up only when there is one.
_FOR_PEOPLE = (
    ("pydantic", "ValidationError"),
    ("fits_dagster.settings.names", "SettingsError"),
    ("sqlalchemy.exc", "OperationalError"),
    ("fits_dagster.broker", "BrokerError"),
    ("fits_dagster.system.home", "AlreadyRunningError"),
    ("fits_dagster.system.up", "StartError"),
)


def main() -> None:
    """Run the command line; errors that a person can act on are one line, without a traceback."""
    try:
        cli.main(standalone_mode=True)
    except Exception as error:
        known = [getattr(sys.modules[module], name) for module, name in _FOR_PEOPLE if module in sys.modules]
        if not isinstance(error, (OSError, *known)):
            raise
        click.echo(f"fits-dagster: {error}", err=True)
        sys.exit(1)
