"""``fits-dagster alerts``: what people are told about, and how."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fits_dagster.cli.options import home_option, json_option
from fits_dagster.settings import load_settings
from fits_dagster.sites import opened_site

__all__ = ["alerts"]


@click.group()
def alerts() -> None:
    """Conditions that people are told about: by log, e-mail and webhook."""


@alerts.command("list")
@json_option
@home_option
def list_(as_json: bool, home: Path) -> None:
    """List the conditions that last, at all sites."""
    from fits_dagster.alerts.state import current_alerts

    settings = load_settings(home)
    found = []
    for site in settings.sites:
        with opened_site(settings, site) as opened, opened.engine.connect() as connection:
            found += [{"site": site, **row} for row in current_alerts(connection)]
    if as_json:
        click.echo(json.dumps(found, indent=1, default=str))
        return
    for row in found:
        sent = f"sent {row['notified_at']:%Y-%m-%d %H:%M}" if row["notified_at"] else "not sent yet"
        click.echo(f"since {row['first_at']:%Y-%m-%d %H:%M} UTC, {sent}: {row['message']}")
    if not found:
        click.echo("nothing")


@alerts.command()
@home_option
def look(home: Path) -> None:
    """Look now and print what is wrong; nobody is told and nothing is remembered."""
    from fits_dagster.alerts.watch import Watch

    watch = Watch(load_settings(home), grace_seconds=0.0)
    try:
        found = watch.alarms()
    finally:
        watch.close()
    for alarm in found:
        click.echo(f"{alarm.kind}: {alarm.message}")
    if not found:
        click.echo("nothing")


@alerts.command()
@home_option
def test(home: Path) -> None:
    """Send a message by every way that is configured, to see whether it arrives."""
    from fits_dagster.alerts.senders import AlertsNotSentError, send
    from fits_dagster.alerts.state import Notice

    settings = load_settings(home).alerts
    notice = Notice("test", "test", "This is a test; nothing is wrong.", "new")
    try:
        send([notice], settings)
    except AlertsNotSentError as error:
        raise click.ClickException(str(error)) from error
    ways = [*(f"e-mail to {address}" for address in settings.email_to)]
    ways += ["webhook"] if settings.webhook_url.get_secret_value() else []
    click.echo(f"sent: {', '.join(ways) or 'only to the log, nothing else is configured'}")
