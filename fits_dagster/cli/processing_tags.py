"""``fits-dagster processing-tags``: which reduced files may serve as calibrations, and which go first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from fits_dagster.calibration.processing_tags import change_processing_tag, remove_processing_tag
from fits_dagster.cli.options import home_option, json_option, person_at_the_keyboard, site_option
from fits_dagster.database.session import site_database
from fits_dagster.ledger.items import BACKGROUND, NewWork, add_work
from fits_dagster.ledger.management import write_audit
from fits_dagster.records.processing_tags import MOST_PRIORITY, TagUse, list_tags
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.sites import opened_site

__all__ = ["processing_tags"]


@click.group("processing-tags")
def processing_tags() -> None:
    """Look after processing tags: reduced files serve as calibrations once their tag is published."""


@processing_tags.command("list")
@json_option
@site_option("archive")
@home_option
def list_(as_json: bool, site: SiteName, home: Path) -> None:
    """List tags, those that only files know included, with the number of files that carry them."""
    with site_database(load_settings(home), site) as connection:
        uses = list_tags(connection)
    if as_json:
        click.echo(json.dumps([_as_dict(use) for use in uses], indent=1))
        return
    Console().print(_table(uses) if uses else "nothing")


@processing_tags.command("set")
@click.argument("tag")
@click.option("--published/--unpublished", default=None, help="Whether its files may serve as calibrations.")
@click.option(
    "--priority",
    type=click.IntRange(-MOST_PRIORITY, MOST_PRIORITY),
    help="The files of the highest go first.",
)
@click.option("--domain", help="What its files are of.")
@click.option("--description")
@site_option("archive")
@home_option
def set_(
    tag: str,
    published: bool | None,
    priority: int | None,
    domain: str | None,
    description: str | None,
    site: SiteName,
    home: Path,
) -> None:
    """Make or change a tag: what is not given stays; a new tag is not published and has the priority 0.

    The files whose calibrations that changes are queued to be associated again.
    """
    given = {"published": published, "priority": priority, "domain": domain, "description": description}
    with _changing(home, site) as connection:
        changes = {name: value for name, value in given.items() if value is not None}
        changed, work = change_processing_tag(connection, tag, changes, priority=BACKGROUND)
        detail = ", ".join(f"{name} {value}" for name, value in asdict(changed).items() if value != "")
        _settle(connection, work, "processing tag set", detail)


@processing_tags.command()
@click.argument("tag")
@site_option("archive")
@home_option
def remove(tag: str, site: SiteName, home: Path) -> None:
    """Forget a tag; reduced files that carry it serve nobody any more."""
    with _changing(home, site) as connection:
        try:
            work = remove_processing_tag(connection, tag, priority=BACKGROUND)
        except LookupError as error:
            raise click.ClickException(f"{error} at the {site}") from error
        _settle(connection, work, "processing tag removed", f"tag {tag}")


@contextmanager
def _changing(home: Path, site: SiteName) -> Iterator[Connection]:
    with opened_site(load_settings(home), site) as opened, opened.engine.begin() as connection:
        yield connection


def _settle(connection: Connection, work: Sequence[NewWork], action: str, detail: str) -> None:
    """Queue what follows of a change, and note who made it."""
    add_work(connection, work)
    write_audit(connection, person_at_the_keyboard(), action, f"{detail}; {len(work)} files queued")
    click.echo(f"{action}: {detail}; {len(work)} files are associated again")


def _as_dict(use: TagUse) -> dict[str, object]:
    known = asdict(use.known) if use.known else {"tag": use.tag}
    return {**known, "known": use.known is not None, "files": use.files, "processed": use.processed}


def _table(uses: Sequence[TagUse]) -> Table:
    table = Table("tag", "domain", "priority", "published", "files", "not raw", "description")
    for use in uses:
        known = use.known
        table.add_row(
            use.tag if use.tag is not None else "(none)",
            known.domain if known else "",
            str(known.priority) if known else "",
            ("yes" if known.published else "no") if known else "not known",
            str(use.files),
            str(use.processed),
            known.description if known else "",
            style=None if known is not None and known.published else "dim",
        )
    return table
