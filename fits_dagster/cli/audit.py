"""``fits-dagster audit``: what people did by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from fits_dagster.cli.options import home_option, json_option
from fits_dagster.ledger.management import find_audit
from fits_dagster.settings import load_settings
from fits_dagster.sites import opened_site

__all__ = ["audit"]


@click.command()
@click.option("--who", help="Only of people whose name contains this.")
@click.option("--about", help="Only where action or detail hold this: a file name, a stage, 'remove'.")
@click.option("--since", type=click.DateTime(), help="Only since this time (UTC).")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The newest so many.")
@json_option
@home_option
def audit(
    who: str | None, about: str | None, since: datetime | None, limit: int, as_json: bool, home: Path
) -> None:
    """List what people did by hand at all sites, the newest last.

    Files tried again, cancelled, edited and removed, stages paused and resumed, people added and changed,
    sign-ins refused, tokens, and what programs were refused. Uploads that were taken are many: they are
    listed with --who or --about only.
    """
    settings = load_settings(home)
    earliest = since.replace(tzinfo=UTC) if since is not None else None
    found = []
    for site in settings.sites:
        with opened_site(settings, site) as opened, opened.engine.connect() as connection:
            rows = find_audit(connection, who=who, about=about, since=earliest, limit=limit)
            found += [{"site": site, **row} for row in reversed(rows)]
    found = sorted(found, key=lambda row: row["at"])[-limit:]
    if as_json:
        click.echo(json.dumps(found, indent=1, default=str))
        return
    for row in found:
        click.echo(
            f"{row['at']:%Y-%m-%d %H:%M:%S} {row['site']}: {row['who']}: {row['action']} {row['detail']}"
        )
    if not found:
        click.echo("nothing")
