"""``fits-dagster rebuild``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from rich.console import Console

from fits_dagster.cli.options import home_option, site_option
from fits_dagster.cli.paths import progress_bar
from fits_dagster.settings import SiteName, load_settings

__all__ = ["rebuild"]

_LOOK_S = 0.5


@click.command()
@click.option(
    "--here",
    type=click.IntRange(min=1),
    metavar="N",
    help="Work in N processes on this machine.  [default: wait for the site's workers]",
)
@click.option("--no-wait", is_flag=True, help="Only queue.")
@click.option("--dry-run", is_flag=True, help="Only say how many files would be queued.")
@site_option("archive")
@home_option
def rebuild(here: int | None, no_wait: bool, dry_run: bool, site: SiteName, home: Path) -> None:
    """Make records, versions, previews and associations again from what the store holds.

    For a lost database: restore the last backup first, which has what only the database knew. May be
    interrupted, and begun again. Exits with 1 if any file failed.
    """
    from fits_dagster.requeue.rebuild import progress_of, queue_store
    from fits_dagster.sites import opened_site
    from fits_dagster.system.database import prepare_databases
    from fits_dagster.system.drains import draining

    settings = load_settings(home)
    console = Console(stderr=True)
    prepare_databases(settings)
    with opened_site(settings, site) as opened:
        failed_before = progress_of(opened).failed
        seen = queued = 0
        with console.status("looking at the store") as status:
            for path, report in queue_store(opened, dry_run=dry_run):
                seen, queued = seen + report.seen, queued + report.changed
                status.update(f"looking at the store: {path or 'its root'}, {seen} files")
    click.echo(f"{seen} files in the store, {queued} {'would be queued' if dry_run else 'queued'}")
    if dry_run or no_wait:
        return
    left, failed, most = 1, 0, 0
    while left:
        # the processes of a round end when nothing is due; what is tried again later has a round of its own
        with (
            draining(settings, site, here or 0) as drains,
            opened_site(settings, site) as opened,
            progress_bar(console) as bar,
        ):
            task = bar.add_task("items", total=None)
            while True:
                goes_on = drains.are_at_work or not here
                found = progress_of(opened)
                left, failed = found.left, found.failed - failed_before
                most = max(most, left)
                # what follows from an ingest is added while it goes on, so the whole grows
                bar.update(task, total=most, completed=most - left)
                if not left or not goes_on:
                    break
                time.sleep(_LOOK_S)
        if left and drains.have_failed:
            raise click.ClickException(f"a process died, {left} items are left: begin the rebuild again")
    click.echo(f"done: {queued} files{f', {failed} failed' if failed else ''}")
    sys.exit(1 if failed else 0)
