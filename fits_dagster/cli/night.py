"""``fits-dagster night``: what is expected of a night, and what has arrived."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fits_dagster.cli.options import home_option, json_option
from fits_dagster.dataflow.site import opened_site
from fits_dagster.settings import SiteName, load_settings

__all__ = ["night"]

_MOST_ROWS = 50


@click.command()
@click.argument("nights", nargs=-1, metavar="[YYYYMMDD]...")
@click.option("--last", type=click.IntRange(1), help="The last so many nights.")
@json_option
@click.option("--site", type=click.Choice(["summit", "archive"]), default="summit", show_default=True)
@home_option
def night(nights: tuple[str, ...], last: int | None, as_json: bool, site: SiteName, home: Path) -> None:
    """Tell which files of nights are expected, and which have arrived with the right content.

    At the summit this goes from the DHS directory to the destinations, which are asked; at the archive from
    the uploads to the database. Without NIGHTS it is tonight. Exits with 1 if something is missing that is
    not on its way, or a destination does not answer.
    """
    from fits_dagster.dataflow.checks import recent_nights
    from fits_dagster.dataflow.reconcile import night_reports

    for label in nights:
        try:
            datetime.strptime(label, "%Y%m%d").replace(tzinfo=UTC)
        except ValueError as error:
            raise click.BadParameter(f"{label!r} is no night label YYYYMMDD") from error
    settings = load_settings(home)
    with opened_site(settings, site) as opened:
        asked = list(nights)
        if last is not None:
            newest = datetime.strptime(recent_nights(opened)[0], "%Y%m%d").replace(tzinfo=UTC)
            asked += [f"{newest - timedelta(days=back):%Y%m%d}" for back in range(last)]
        reports = night_reports(opened, asked or recent_nights(opened)[:1])
    if as_json:
        click.echo(json.dumps([report.as_dict() for report in reports], indent=1))
    console = Console()
    bad = False
    for report in reports:
        bad |= bool(report.unanswered) or any(not file.is_on_its_way for file in report.incomplete)
        if as_json:
            continue
        counts = ", ".join(f"{count} {state}" for state, count in sorted(report.counts.items()))
        console.print(f"{report.night}: {len(report.files)} expected: {counts or 'none'}", highlight=False)
        for url, reason in report.unanswered.items():
            console.print(f"  {url} does not answer: {reason}", style="red", highlight=False)
        if report.incomplete:
            table = Table("file", "state", "queue", "detail")
            for file in report.incomplete[:_MOST_ROWS]:
                queue = file.queue or ("on its way" if file.is_on_its_way else "none")
                table.add_row(file.name, file.state, queue, file.detail)
            console.print(table)
            if len(report.incomplete) > _MOST_ROWS:
                console.print(f"  and {len(report.incomplete) - _MOST_ROWS} more")
    sys.exit(1 if bad else 0)
