"""``fits-dagster rebuild``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from fits_dagster.cli.options import home_option, site_option
from fits_dagster.cli.paths import progress_bar
from fits_dagster.settings import Settings, SiteName, load_settings

__all__ = ["rebuild"]


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
    from sqlalchemy import func, select

    from fits_dagster.database.session import awake
    from fits_dagster.requeue.rebuild import queue_store
    from fits_dagster.sites import opened_site
    from fits_dagster.system.database import prepare_databases

    settings = load_settings(home)
    console = Console(stderr=True)
    if dry_run:
        awake(settings, site)
    else:
        prepare_databases(settings)
    with opened_site(settings, site) as opened:
        with opened.engine.connect() as connection:
            began = connection.execute(select(func.now())).scalar_one()
        seen = queued = 0
        with console.status("looking at the store") as status:
            for path, report in queue_store(opened, dry_run=dry_run):
                seen, queued = seen + report.seen, queued + report.changed
                status.update(f"looking at the store: {path or 'its root'}, {seen} files")
    click.echo(f"{seen} files in the store, {queued} {'would be queued' if dry_run else 'queued'}")
    if dry_run or no_wait:
        return
    with progress_bar(console, auto_refresh=False) as bar:
        failed = _follow(settings, site, here or 0, began, bar)
    click.echo(f"done: {queued} files{f', {failed} failed' if failed else ''}")
    sys.exit(1 if failed else 0)


def _follow(settings: Settings, site: SiteName, here: int, began: datetime, bar: Progress) -> int:
    """Show how far it is until nothing is left; returns how many items have failed."""
    from fits_dagster.system.drains import DrainError, worked_off

    task = bar.add_task("items", total=None)
    most = failed = 0
    try:
        for standing in worked_off(settings, site, here, began):
            left, failed = standing.progress.left, standing.progress.failed
            # what follows from an ingest is added while it goes on, so the whole grows
            most = max(most, left)
            what = "items"
            if (lease_s := standing.waits_for_s) is not None:
                what = f"{left} items are tried again later, or wait for a lease to end ({lease_s:.0f} s)"
            bar.update(task, total=most, completed=most - left, description=what, refresh=True)
            if standing.has_lost:
                bar.console.print("a process was killed, its files are taken up again", highlight=False)
    except DrainError as error:
        raise click.ClickException(str(error)) from error
    return failed
