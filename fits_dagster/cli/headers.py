"""The command that edits headers of files in the dataflow directory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from fits_dagster.cli.options import home_option, person_at_the_keyboard, site_option
from fits_dagster.headers.request import RefusedItemError, read_item
from fits_dagster.headers.updates import queue_edit
from fits_dagster.metadata.identifiers import is_data_label
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.sites import open_site

__all__ = ["update_headers"]


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--qa-state", help="undefined, pass, usable, fail or check.")
@click.option("--raw-site", multiple=True, help="Conditions, e.g. iq70; may be repeated.")
@click.option("--release", help="Date of release, YYYY-MM-DD.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help='Any keyword; a value that reads as a number, true, false or null is one ("12" in quotes is text).',
)
@click.option("--reject-new", is_flag=True, help="With --set: only keywords that are there already.")
@click.option("--path", help="Directory in the store, where a name is not enough.")
@click.option("--dry-run", is_flag=True, help="Only say which files and which cards.")
@site_option("summit")
@home_option
def update_headers(
    names: tuple[str, ...],
    qa_state: str | None,
    raw_site: tuple[str, ...],
    release: str | None,
    assignments: tuple[str, ...],
    reject_new: bool,
    path: str | None,
    dry_run: bool,
    site: SiteName,
    home: Path,
) -> None:
    """Queue edits of the primary headers of files, given by file name or data label.

    The edited files are ingested and exported again by themselves. Exits with 1 if any was refused.
    """
    given = {"qa_state": qa_state, "raw_site": list(raw_site) or None, "release": release}
    values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if assignments:
        values["generic"] = [_pair(text) for text in assignments]
    refused = 0
    opened = open_site(load_settings(home), site)
    try:
        for name in names:
            kind = "data_label" if is_data_label(name) else "filename"
            try:
                request = read_item({kind: name, "path": path, "values": values, "reject_new": reject_new})
                found = queue_edit(opened, request, asked_by=person_at_the_keyboard(), dry_run=dry_run)
            except RefusedItemError as error:
                click.echo(f"{name}: {error}", err=True)
                refused += 1
                continue
            cards = ", ".join(f"{keyword} = {value!r}" for keyword, value in request.cards)
            click.echo(f"{found.filename}: {cards}{' (not queued)' if dry_run else ''}")
    finally:
        opened.close()
    sys.exit(1 if refused else 0)


def _pair(text: str) -> list[Any]:
    """Split an assignment into keyword and value."""
    keyword, sign, value = text.partition("=")
    if not sign:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--set")
    try:
        return [keyword, json.loads(value)]
    except ValueError:
        return [keyword, value]
