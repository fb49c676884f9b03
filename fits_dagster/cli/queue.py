"""Commands that look after the queues."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from fits_dagster.cli.options import StageName, home_option, json_option, person_at_the_keyboard, site_option
from fits_dagster.cli.requeue import add
from fits_dagster.ledger.management import (
    Selection,
    cancel_items,
    find_items,
    pause_stage,
    resume_stage,
    retry_items,
)
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.sites import Site, open_site
from fits_dagster.wording import counted

__all__ = ["queue"]

_console = Console()


def _selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose work items."""
    options: list[Callable[..., Any]] = [
        click.option("--stage", type=StageName(), help="Queue."),
        click.option("--night", help="Night label YYYYMMDD."),
        click.option("--state", type=click.Choice(["waiting", "running", "failed"])),
        click.option("--reason", help="Reason code, e.g. truncated."),
        click.option("--file-re", "pattern", help="Regular expression searched in the file name."),
        click.option("--id", "ids", type=int, multiple=True, help="Number of an item; may be repeated."),
        site_option("archive"),
        home_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _selection(values: dict[str, Any]) -> Selection:
    ids = values.pop("ids") or None
    return Selection(ids=ids, **values)


@contextmanager
def _opened(home: Path, site: SiteName) -> Iterator[Site]:
    opened = open_site(load_settings(home), site)
    try:
        yield opened
    finally:
        opened.close()


@click.group()
def queue() -> None:
    """Look after the queues: what waits, what failed, try again, pause."""


queue.add_command(add)


@queue.command("list")
@_selecting
@click.option("--limit", default=100, show_default=True)
@json_option
def list_(home: Path, site: SiteName, limit: int, as_json: bool, **values: Any) -> None:
    """List work items."""
    with _opened(home, site) as opened, opened.engine.connect() as connection:
        items = find_items(connection, _selection(values), limit=limit)
    if as_json:
        click.echo(json.dumps(items, default=str, indent=1))
        return
    if not items:
        _console.print(f"{site}: nothing")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("id", "file", "stage", "state", "since (UTC)", "tries"):
        # names of files are copied, so they are broken last
        table.add_column(title, no_wrap=title != "file", overflow="fold")
    table.add_column("reason", overflow="fold")
    now = datetime.now(UTC)
    for item in items:
        state = item["state"]
        if state == "waiting" and item["not_before"] > now:
            state = f"due {item['not_before']:%H:%M:%S}"
        is_of_this_year = item["added_at"].year == now.year
        table.add_row(
            str(item["id"]),
            f"{item['path']}/{item['filename']}" if item["path"] else item["filename"],
            item["stage"],
            state,
            f"{item['added_at']:{'%m-%d %H:%M' if is_of_this_year else '%Y-%m-%d'}}",
            str(item["attempts"]),
            item["reason"] or "",
        )
    _console.print(table)


@queue.command()
@click.argument("item_id", type=int)
@site_option("archive")
@home_option
@json_option
def show(item_id: int, site: SiteName, home: Path, as_json: bool) -> None:
    """Show one item with its error and traceback."""
    with _opened(home, site) as opened, opened.engine.connect() as connection:
        items = find_items(connection, Selection(ids=[item_id]))
    if not items:
        raise click.ClickException(f"the {site} has no item {item_id}")
    if as_json:
        click.echo(json.dumps(items[0], default=str, indent=1))
        return
    for key, value in items[0].items():
        if value not in (None, "") and key != "traceback":
            click.echo(f"{key:>12}: {value}")
    if items[0]["traceback"]:
        click.echo(items[0]["traceback"])


def _change(
    home: Path,
    site: SiteName,
    values: dict[str, Any],
    action: Callable[[Connection, Selection], int],
    *,
    verb: str,
    dry_run: bool,
) -> None:
    selection = _selection(values)
    if selection.clauses()[0] == "true":
        raise click.UsageError("say which items: --stage, --night, --state, --reason, --file-re or --id")
    with _opened(home, site) as opened:
        if dry_run:
            with opened.engine.connect() as connection:
                items = find_items(connection, selection, limit=10_000)
            for item in items:
                click.echo(f"{item['stage']} {item['filename']} ({item['state']})")
            click.echo(f"{counted(len(items), 'item')} would be {verb}")
            return
        with opened.engine.begin() as connection:
            click.echo(f"{counted(action(connection, selection), 'item')} {verb}")


@queue.command()
@_selecting
@click.option("--dry-run", is_flag=True, help="Only say which.")
def retry(home: Path, site: SiteName, dry_run: bool, **values: Any) -> None:
    """Try failed items again, and those that wait for another attempt at once."""
    _change(
        home,
        site,
        values,
        lambda connection, selection: retry_items(connection, selection, who=person_at_the_keyboard()),
        verb="tried again",
        dry_run=dry_run,
    )


@queue.command()
@_selecting
@click.option("--yes", is_flag=True, help="Do it; without this only say which.")
def cancel(home: Path, site: SiteName, yes: bool, **values: Any) -> None:
    """Remove items that wait or have failed. What runs is left to end."""
    _change(
        home,
        site,
        values,
        lambda connection, selection: cancel_items(connection, selection, who=person_at_the_keyboard()),
        verb="cancelled",
        dry_run=not yes,
    )


@queue.command()
@click.argument("stages", nargs=-1, required=True, type=StageName())
@site_option("archive")
@home_option
def pause(stages: Sequence[str], site: SiteName, home: Path) -> None:
    """Let stages take no further work; their queues keep what comes."""
    with _opened(home, site) as opened, opened.engine.begin() as connection:
        for stage in stages:
            pause_stage(connection, stage, who=person_at_the_keyboard())
            click.echo(f"{site}: {stage} is paused")


@queue.command()
@click.argument("stages", nargs=-1, required=True, type=StageName())
@site_option("archive")
@home_option
def resume(stages: Sequence[str], site: SiteName, home: Path) -> None:
    """Let paused stages go on."""
    with _opened(home, site) as opened, opened.engine.begin() as connection:
        for stage in stages:
            was = resume_stage(connection, stage, who=person_at_the_keyboard())
            click.echo(f"{site}: {stage} {'goes on' if was else 'was not paused'}")


@queue.command()
@click.argument("stages", nargs=-1, type=StageName())
@site_option("archive")
@home_option
def drain(stages: Sequence[str], site: SiteName, home: Path) -> None:
    """Work through queues here and now, without Dagster; all of the site's when none is named."""
    from fits_dagster.ledger.loop import drain as drain_stage
    from fits_dagster.stages.registry import stages_of

    failed = 0
    with _opened(home, site) as opened:
        for stage in stages_of(opened.settings):
            if stages and stage.name not in stages:
                continue
            report = drain_stage(opened, stage)
            outcomes = ", ".join(f"{n} {word}" for word, n in sorted(report.outcomes.items())) or "nothing"
            later = f", {len(report.retrying)} to be tried again" if report.retrying else ""
            click.echo(f"{stage.name}: {outcomes}, {len(report.failures)} failed{later}")
            for failure in (*report.failures, *report.retrying):
                click.echo(f"  {failure.filename}: {failure.reason}: {failure.error}", err=True)
            failed += len(report.failures)
    sys.exit(1 if failed else 0)
