"""``fits-dagster``: the commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

import click

from fits_dagster import __version__
from fits_dagster.startup import quick_imports

__all__ = ["main"]

#: Command -> the module that holds it, imported only when the command is used, and its line in the help.
_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("demo", "Watch a night of files travel to the archive."),
    "up": ("system", "Start a whole system, and keep it running."),
    "worker": ("worker", "Work for sites, on any machine."),
    "status": ("system", "What runs, what waits, what failed."),
    "doctor": ("doctor", "Look at everything; say what is wrong."),
    "deploy": ("deploy", "Write systemd units for this machine."),
    "migrate": ("system", "Make databases and bring them up to date."),
    "user": ("user", "The people who may log in."),
    "token": ("token", "The programs that may upload, edit, or read."),
    "logs": ("logs", "Print and follow log files."),
    "queue": ("queue", "Look after the queues: list, retry, pause."),
    "history": ("history", "Where a file is, and what happened to it."),
    "add-to-ingest-queue": ("requeue", "Queue files of the store for ingest."),
    "night": ("night", "Expected and arrived files of nights."),
    "reconcile": ("night", "Compare all places of a night's files."),
    "scrub": ("scrub", "Hash stored files again; restore bad ones."),
    "alerts": ("alerts", "Conditions that last, and the watch for them."),
    "audit": ("audit", "What people did by hand."),
    "upkeep": ("upkeep", "Roll-call, removal, leftovers, pruning."),
    "backup": ("backup", "Back up the databases of the sites."),
    "restore": ("backup", "Put a backup in the place of a database."),
    "rebuild": ("rebuild", "Make records again from the store."),
    "update-headers": ("headers", "Queue edits of primary headers."),
    "describe": ("describe", "Print the records of FITS files."),
    "simulate": ("files", "Make a night of realistic FITS files."),
    "ingest": ("files", "Load files into an archive, without a daemon."),
    "calibrations": ("calibrations", "The calibrations of files, and why."),
    "processing-tags": ("processing_tags", "Which reduced files serve as calibrations."),
    "rebuild-match-keys": ("match_keys", "Match all headers with changed rules again."),
    "simulate-year": ("simulate_year", "Send a year of nights through a system."),
    "bench": ("bench", "Measure a stage beside its floor."),
}
#: The same of the commands of our own stages; those of other packages are made when there are any.
_OF_STAGES: Final = {
    "add-to-export-queue": "Queue known files for export.",
    "add-to-preview-queue": "Queue known files for their previews.",
    "add-to-calcache-queue": "Queue known files for their associations.",
}
#: Names that commands had before, which go on working.
_FORMER: Final = {"where": "history"}


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *(_commands_of_stages() if _has_plug_ins() else _OF_STAGES)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands without importing them."""
        others = _commands_of_stages() if _has_plug_ins() else {}
        rows = [(name, line) for name, (_, line) in _COMMANDS.items()] + list(_OF_STAGES.items())
        rows += [(n, command.get_short_help_str()) for n, command in others.items() if n not in _OF_STAGES]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = _FORMER.get(cmd_name, cmd_name)
        module, _ = _COMMANDS.get(cmd_name, (None, ""))
        if module is None:
            return _commands_of_stages().get(cmd_name) if cmd_name.startswith("add-to-") else None
        with quick_imports():
            found = import_module(f"fits_dagster.cli.{module}")
        command: click.Command = getattr(found, cmd_name.replace("-", "_"))
        return command


def _has_plug_ins() -> bool:
    points = entry_points(group="fits_dagster.stages")
    return any(not point.value.startswith("fits_dagster.") for point in points)


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
    ("fits_dagster.database.server", "DatabaseEncodingError"),
    ("fits_dagster.backup.programs", "BackupError"),
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
        click.echo(f"fits-dagster: {_unconnected(error) or error}", err=True)
        sys.exit(1)


def _unconnected(error: Exception) -> str:
    """Return what there is to do if a database could not be reached, or nothing if it was another error."""
    from sqlalchemy.exc import OperationalError

    if not isinstance(error, OperationalError) or error.statement is not None:
        return ""
    said, *_ = str(error.orig).splitlines()
    return (
        f"the database does not answer: {said}. Is the system up ('fits-dagster up'), and does database_url "
        "name the right server?"
    )
