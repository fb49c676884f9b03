"""Commands that put files on the queues by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from fits_dagster.cli.options import StageName, home_option, site_option
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.sites import opened_site

if TYPE_CHECKING:
    from fits_dagster.ledger.stage import Stage

__all__ = ["add", "add_to_ingest_queue", "commands_of_stages"]

_Command: TypeAlias = Callable[..., Any]

_file_re = click.option(
    "--file-re",
    help="Regular expression searched in the names, or today, twoday, fourday, tenday, twentyday (UTC days).",
)
_filename = click.option("--filename", help="Just this file.")
_listfile = click.option(
    "--listfile",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Names from a text file, one a line, with their paths.",
)
_selection = click.option("--selection", help="Names from the database, e.g. GMOS-N/20251123.")


def _combined(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Make one decorator of several options, shown in their order."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _closing(profile: str | None) -> Callable[[_Command], _Command]:
    """Return the options that all these commands end with."""
    return _combined(
        click.option("--dry-run", is_flag=True, help="Only say which."),
        click.option("--debug", is_flag=True, help="Name every file."),
        click.option("--demon", is_flag=True, help="Write to the log only."),
        site_option(profile),
        home_option,
    )


#: What chooses among the files that the database knows.
_criteria = _combined(
    _file_re,
    click.option("--path", help="Directory relative to the store; default: all of them."),
    _filename,
    _listfile,
    _selection,
    click.option("--instrument", help="Only of this instrument, as headers spell it."),
    click.option("--lastdays", "last_days", type=float, help="Only observed in the last N days."),
    click.option("--all", "everything", is_flag=True, help="Every file that the database knows."),
    click.option("--after", type=click.DateTime(), help="Only after this time (UTC)."),
    click.option("--background", is_flag=True, help="At low priority: when there is nothing else to do."),
)


@click.command()
@_file_re
@click.option("--path", default="", help="Directory relative to the store.")
@click.option("--force", is_flag=True, help="Make new versions unconditionally.")
@click.option(
    "--force_md5", "--force-md5", "force_md5", is_flag=True, help="Compare by MD5, not only by time."
)
@click.option("--after", type=click.DateTime(), help="Ingest only after this time (UTC).")
@click.option("--newfiles", type=float, help="Only files changed in the last N days.")
@_filename
@_listfile
@_selection
@_closing("summit")
def add_to_ingest_queue(
    file_re: str | None,
    path: str,
    force: bool,
    force_md5: bool,
    after: datetime | None,
    newfiles: float | None,
    filename: str | None,
    listfile: Path | None,
    selection: str | None,
    dry_run: bool,
    debug: bool,
    demon: bool,
    site: SiteName,
    home: Path,
) -> None:
    """Queue files of the store for ingest: those that are new or have changed, unless forced.

    A file that is not in the store is named and left out; then the exit status is 1.
    """
    from fits_dagster.logs import configure_logging
    from fits_dagster.requeue.files import IngestRequest, queue_for_ingest

    settings = load_settings(home)
    if demon:
        configure_logging(settings, "add_to_ingest_queue")
    request = IngestRequest(
        path=path,
        file_re=file_re,
        newer_than_days=newfiles,
        filename=filename,
        listed=listfile.read_text().split() if listfile is not None else None,
        selection=selection,
        force=force,
        force_md5=force_md5,
        after=after.replace(tzinfo=UTC) if after is not None else None,
    )
    with opened_site(settings, site) as opened:
        try:
            report = queue_for_ingest(opened, request, dry_run=dry_run)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    _print(report.queued, report.looked_at, dry_run=dry_run, debug=debug, demon=demon)
    for key in report.missing:
        click.echo(f"{key} is not in the store", err=True)
    sys.exit(1 if report.missing else 0)


def commands_of_stages() -> Mapping[str, click.Command]:
    """Make the commands that queue files for the stages that declare one, by their names."""
    from fits_dagster.stages.registry import all_stages

    return {
        f"add-to-{stage.command}-queue": _command_of(stage)
        for stage in all_stages().values()
        if stage.command
    }


def _command_of(stage: Stage[Any]) -> click.Command:
    options = []
    if not stage.is_local:
        options.append(_destination)
    if stage.is_made is not None:
        options.append(_missing)
    if stage.leaves_out_unfit:
        options += [_include_engineering, _ignore_mdbad]

    @_combined(_criteria, *options, _closing(None))
    def command(**values: Any) -> None:
        _queue_versions(stage, values)

    text = f"Queue files that the database knows for {stage.title.lower()}: {stage.asset_description}"
    return click.command(f"add-to-{stage.command}-queue", help=text)(command)


_destination = click.option(
    "--destination", "destinations", multiple=True, help="Base URL; default: all of the settings."
)
_missing = click.option(
    "--missing", "only_missing", is_flag=True, help="Only files of which it has not made anything yet."
)
_include_engineering = click.option(
    "--include-eng", "include_engineering", is_flag=True, help="Engineering files too."
)
_ignore_mdbad = click.option(
    "--ignore-mdbad", "include_unready", is_flag=True, help="Files with unfit metadata too."
)


@click.command()
@click.argument("stage", type=StageName())
@_combined(_criteria, _destination, _missing, _include_engineering, _ignore_mdbad, _closing(None))
def add(stage: str, **values: Any) -> None:
    """Queue files that the database knows for a stage behind ingest.

    What the destination of an export has already is not sent again.
    """
    from fits_dagster.stages.registry import all_stages

    _queue_versions(all_stages()[stage], values)


def _queue_versions(stage: Stage[Any], values: dict[str, Any]) -> None:
    from fits_dagster.logs import configure_logging
    from fits_dagster.requeue.versions import VersionRequest, queue_versions

    settings = load_settings(values.pop("home"))
    site, dry_run, debug, demon = (values.pop(name) for name in ("site", "dry_run", "debug", "demon"))
    if demon:
        configure_logging(settings, f"add_to_{stage.command or stage.name}_queue")
    everything, filename, listfile = (values.pop(name) for name in ("everything", "filename", "listfile"))
    names = None
    if filename is not None or listfile is not None:
        names = [filename] if filename is not None else listfile.read_text().split()
    criteria = ("file_re", "path", "selection", "instrument", "last_days")
    if names is None and not everything and all(values[name] is None for name in criteria):
        raise click.UsageError("say which files: --file-re, --filename, --selection …, or --all")
    after = values.pop("after")
    if not stage.leaves_out_unfit:
        values |= {"include_engineering": True, "include_unready": True}
    request = VersionRequest(
        names=names, after=after.replace(tzinfo=UTC) if after is not None else None, **values
    )
    having = [name for name in settings.sites if stage.is_part_of(settings.site(name))]
    if site is None and len(having) > 1:
        raise click.UsageError(f"{' and '.join(having)} have the stage {stage.name}: say which with --site")
    with opened_site(settings, site or next(iter(having), settings.sites[0])) as opened:
        try:
            keys = queue_versions(opened, stage.name, request, dry_run=dry_run)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    _print(keys, None, dry_run=dry_run, debug=debug, demon=demon)


def _print(keys: Sequence[str], looked_at: int | None, *, dry_run: bool, debug: bool, demon: bool) -> None:
    if demon:
        return
    for key in keys if debug or dry_run else ():
        click.echo(key)
    word = "would be queued" if dry_run else "queued"
    looked = f"{looked_at} files looked at, " if looked_at is not None else ""
    click.echo(f"{looked}{len(keys)} {word}")
