"""``fits-dagster rebuild-match-keys``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fits_dagster.cli.options import home_option, site_option
from fits_dagster.settings import SiteName, load_settings

__all__ = ["rebuild_match_keys"]


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say how many headers there are.")
@site_option("archive")
@home_option
def rebuild_match_keys(dry_run: bool, site: SiteName, home: Path) -> None:
    """Match all headers with the association rules again, after the rules have changed.

    The associations themselves are queued as background work. May be interrupted, and begun again.
    """
    from fits_dagster.calibration import rematch
    from fits_dagster.sites import opened_site

    console = Console()
    with opened_site(load_settings(home), site) as opened:
        with opened.engine.connect() as connection:
            total = rematch.count_current_headers(connection)
        if dry_run:
            click.echo(f"{total} headers would be matched again, and their associations queued")
            return
        columns = (TextColumn("headers"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        done = 0
        with Progress(*columns, transient=True, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("headers", total=total)
            for count in rematch.rebuild_match_keys(opened.engine):
                done += count
                progress.update(task, completed=done)
    click.echo(f"{done} headers matched again, and their associations queued as background work")
