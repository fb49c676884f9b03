"""``fits-dagster``: the commands."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from fits_dagster import __version__

__all__ = ["main"]

#: Command -> module that holds it; a module is imported only when one of its commands is used.
_COMMANDS = {
    "demo": "demo",
    "up": "system",
    "worker": "worker",
    "status": "system",
    "migrate": "system",
    "user": "system",
    "logs": "logs",
    "queue": "queue",
    "where": "where",
    "add-to-ingest-queue": "adding",
    "add-to-export-queue": "adding",
    "add-to-preview-queue": "adding",
    "add-to-calcache-queue": "adding",
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
    "bench": "bench",
}


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(
            import_module(f"fits_dagster.cli.{module}"), cmd_name.replace("-", "_")
        )
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Raw FITS files from the telescope's disk to the public archive."""


def main() -> None:
    """Run the command line; errors that a person can act on are one line, without a traceback."""
    from pydantic import ValidationError
    from sqlalchemy.exc import OperationalError

    from fits_dagster.broker import BrokerError
    from fits_dagster.system.home import AlreadyRunningError
    from fits_dagster.system.up import StartError

    try:
        cli.main(standalone_mode=True)
    except (
        OSError,
        ValidationError,
        OperationalError,
        AlreadyRunningError,
        BrokerError,
        StartError,
    ) as error:
        click.echo(f"fits-dagster: {error}", err=True)
        sys.exit(1)
