"""``fits-dagster rebuild``."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from fits_dagster.cli.options import home_option, site_option
from fits_dagster.cli.paths import progress_bar
from fits_dagster.settings import Settings, SiteName, load_settings

__all__ = ["rebuild"]

_LOOK_S = 0.5
#: Before another round, where one has found nothing that it could do.
_PAUSE_S = 2.0


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

    from fits_dagster.requeue.rebuild import queue_store
    from fits_dagster.sites import opened_site
    from fits_dagster.system.database import prepare_databases

    settings = load_settings(home)
    console = Console(stderr=True)
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
    """Work until nothing is left, or wait until the site's workers have; returns how many items have failed.

    The processes of a round end when nothing is due, or when one of them is killed. What is tried again
    later, and what a killed one had in hand, has a round of its own.
    """
    from fits_dagster.ledger.items import reap
    from fits_dagster.requeue.rebuild import progress_of
    from fits_dagster.sites import opened_site
    from fits_dagster.system.drains import draining

    task = bar.add_task("items", total=None)
    most = left = 0
    while True:
        before = left
        with draining(settings, site, here) as drains, opened_site(settings, site) as opened:
            lease_s = opened.work.lease_seconds
            while True:
                # in this order: what they end with is seen
                dead, at_work = drains.killed, drains.are_at_work
                if here:
                    with opened.engine.begin() as connection:
                        reap(connection, dead)
                found = progress_of(opened, began)
                left, most = found.left, max(most, found.left)
                # what follows from an ingest is added while it goes on, so the whole grows
                bar.update(task, total=most, completed=most - left, description="items", refresh=True)
                if not left and not at_work:
                    return found.failed
                if dead:
                    bar.console.print("a process was killed, its files are taken up again", highlight=False)
                if dead or (here and not at_work):
                    break
                drains.wait(_LOOK_S)
            if drains.have_failed and not dead:
                raise click.ClickException(f"a process ended by an error, {left} items are left")
        if left == before:
            waits = f"{left} items are tried again later, or wait for a lease to end ({lease_s:.0f} s)"
            bar.update(task, description=waits, refresh=True)
            time.sleep(_PAUSE_S)
