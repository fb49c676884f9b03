"""``fits-dagster night`` and ``reconcile``: what is expected of a night, what has arrived, and where."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fits_dagster.cli.options import home_option, json_option, site_option
from fits_dagster.nights import Night
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.sites import opened_site

__all__ = ["night", "reconcile"]

_MOST_ROWS = 50


@click.command()
@click.argument("nights", nargs=-1, metavar="[YYYYMMDD]...")
@click.option("--last", type=click.IntRange(1), help="The last so many nights.")
@json_option
@site_option("summit")
@home_option
def night(nights: tuple[str, ...], last: int | None, as_json: bool, site: SiteName, home: Path) -> None:
    """Tell which files of nights are expected, and which have arrived with the right content.

    At the summit this goes from the DHS directory to the destinations, which are asked; at the archive from
    the uploads to the database. Without NIGHTS it is tonight. Exits with 1 if something is missing that is
    not on its way, or a destination does not answer.
    """
    from fits_dagster.checks.reconcile import night_reports
    from fits_dagster.checks.standing import recent_nights

    for label in nights:
        _check_label(label)
    settings = load_settings(home)
    with opened_site(settings, site) as opened:
        asked = list(nights)
        if last is not None:
            asked += map(str, opened.settings.night_clock.tonight().back(last))
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


def _check_label(label: str) -> None:
    try:
        Night.parse(label)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option("--night", "label", metavar="YYYYMMDD", help="The night; default: tonight.")
@json_option
@site_option("summit")
@home_option
def reconcile(label: str | None, as_json: bool, site: SiteName, home: Path) -> None:
    """Compare all places of a night's files in one table: DHS, dataflow, store, queues, archive.

    MD5s are shown by their first eight letters. Exits with 1 if a file is not where it should be, or not the
    same, and is not on its way, or a destination does not answer.
    """
    from fits_dagster.checks.reconcile import COMPLETE, night_reports
    from fits_dagster.checks.standing import recent_nights

    if label is not None:
        _check_label(label)
    with opened_site(load_settings(home), site) as opened:
        [report] = night_reports(opened, [label or recent_nights(opened)[0]], with_store=True)
    if as_json:
        files = [{**vars(file), "places": dict(file.places)} for file in report.files]
        click.echo(json.dumps({**report.as_dict(), "files": files}, indent=1))
    else:
        console = Console()
        columns = list(report.files[0].places) if report.files else []
        table = Table("file", *columns, "queue", "state", title=f"{site}, night {report.night}")
        for file in report.files:
            style = None if file.state == COMPLETE else "yellow" if file.is_on_its_way else "red"
            cells = [file.places.get(column) or "-" for column in columns]
            table.add_row(file.name, *cells, file.queue or "-", file.state, style=style)
        console.print(table)
        for file in report.incomplete:
            if file.detail:
                console.print(f"{file.name}: {file.detail}", highlight=False)
        for url, reason in report.unanswered.items():
            console.print(f"{url} does not answer: {reason}", style="red", highlight=False)
        for names in report.same_content:
            console.print(f"the same data under {len(names)} names: {', '.join(names)}", highlight=False)
        counts = ", ".join(f"{count} {state}" for state, count in sorted(report.counts.items()))
        console.print(f"{len(report.files)} expected: {counts or 'none'}", highlight=False)
    lost = any(not file.is_on_its_way for file in report.incomplete)
    sys.exit(1 if lost or report.unanswered else 0)
