"""``fits-dagster scrub``: are the stored bytes still those that were ingested?"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from fits_dagster.cli.options import home_option, json_option, person_at_the_keyboard, site_option
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.sites import opened_site

if TYPE_CHECKING:
    from fits_dagster.upkeep.scrub import ScrubReport

__all__ = ["scrub"]


@click.command()
@click.option("--night", metavar="YYYYMMDD", help="Files with this date in their names.")
@click.option("--path", help="Files of this directory of the store; '' is the top.")
@click.option("--all", "everything", is_flag=True, help="All files.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Megabytes a second that are read.")
@click.option("--dry-run", is_flag=True, help="Change nothing.")
@json_option
@site_option("archive")
@home_option
def scrub(
    night: str | None,
    path: str | None,
    everything: bool,
    rate: float | None,
    dry_run: bool,
    as_json: bool,
    site: SiteName,
    home: Path,
) -> None:
    """Hash stored files again and compare them with what was ingested.

    A bad file is moved aside within the store (quarantine/), never deleted, and restored from the directory
    it came from or from another server (replicas) that has a good copy. Exits with 1 if something is bad or
    cannot be read.
    """
    from fits_dagster.upkeep.scrub import ScrubRequest, bytes_to_read, scrub_store, send_again

    if everything == (night is not None or path is not None):
        raise click.UsageError("give --night, --path or both, or else --all")
    settings = load_settings(home)
    request = ScrubRequest(night=night, path=path, rate=rate, dry_run=dry_run)
    with ExitStack() as stack:
        opened = stack.enter_context(opened_site(settings, site))
        senders = [
            stack.enter_context(opened_site(settings, other))
            for other in settings.sites
            if other != site and opened.settings.receives_uploads and settings.site(other).export_destinations
        ]
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        console = Console(stderr=True)
        progress = stack.enter_context(
            Progress(*columns, transient=True, console=console, disable=not console.is_terminal)
        )
        task = progress.add_task("scrub", total=bytes_to_read(opened, night, path))

        def show(report: ScrubReport) -> None:
            progress.update(
                task,
                completed=report.bytes,
                description=f"{report.files} files, {len(report.bad)} bad",
            )

        report = scrub_store(
            opened,
            request,
            who=person_at_the_keyboard(),
            requeue=lambda path, name: any(send_again(sender, path, name) for sender in senders),
            on_file=show,
        )
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=1))
    else:
        _print(report, dry_run=dry_run)
    sys.exit(1 if report.bad or report.unread else 0)


def _print(report: ScrubReport, *, dry_run: bool) -> None:
    for bad in report.bad:
        click.echo(f"{bad.fault}: {bad.key}: MD5 {bad.found_md5 or 'none'} instead of {bad.expected_md5}")
        if not dry_run:
            click.echo(
                f"  kept as {bad.kept_as or 'nothing'}; restored from {bad.restored_from or 'nowhere'}"
            )
            if bad.detail:
                click.echo(f"  {bad.detail}")
    for key, why in report.unread.items():
        click.echo(f"cannot be read: {key}: {why}")
    for key in report.changed:
        click.echo(f"written since it was ingested (a rescan finds it): {key}")
    click.echo(
        f"{report.files} files, {report.bytes / 1e9:.3f} GB read, {len(report.bad)} bad, "
        f"{report.restored} restored, {len(report.unread)} cannot be read"
    )
