"""``fits-dagster history``: where a file is, and what has happened to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fits_dagster.cli.options import home_option, json_option, sites_option
from fits_dagster.nights import FileKey
from fits_dagster.settings import SiteName, load_settings

if TYPE_CHECKING:
    from fits_dagster.records.history import Answer, FileHistory

__all__ = ["history"]

#: Latest events that are printed; JSON has all.
_SHOWN_EVENTS = 30


@click.command()
@click.argument("name")
@sites_option(required=False, help="Which site.  [default: all that run here]")
@json_option
@home_option
def history(name: str, sites: Sequence[SiteName], as_json: bool, home: Path) -> None:
    """Print where a file is: versions, queues, header edits, and all that happened to it.

    NAME may lack .fits and .bz2; a part of a name gives the names that hold it. Exits with 1 if no site knows
    such a file.
    """
    from fits_dagster.database.session import site_database
    from fits_dagster.records.history import SearchTooWideError, find_file

    settings = load_settings(home)
    answers: dict[str, Answer] = {}
    for one in sites or settings.sites:
        try:
            with site_database(settings, one) as connection:
                answers[one] = find_file(connection, name)
        except SearchTooWideError as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        from fits_dagster.stages.whereabouts import answer_as_dict

        objects = [{"site": place, **answer_as_dict(answer)} for place, answer in answers.items()]
        click.echo(json.dumps(objects, indent=1))
    else:
        console = Console(soft_wrap=True)
        for place, answer in answers.items():
            _print(console, place, answer)
    sys.exit(0 if any(answer.history for answer in answers.values()) else 1)


def _print(console: Console, place: str, answer: Answer) -> None:
    from fits_dagster.stages.whereabouts import answer_sentence

    console.print(Text.assemble((f"{place}: ", "bold"), answer_sentence(answer)))
    for candidate in answer.candidates:
        console.print(Text(f"  {candidate}"))
    if answer.history is None:
        return
    for line in _lines(answer.history):
        console.print(Text(f"  {line}"))
    events = answer.history.events
    if events:
        table = Table("time (UTC)", "stage", "outcome", "seconds", "detail", box=None, pad_edge=False)
        for event in events[:_SHOWN_EVENTS]:
            seconds = f"{event.seconds:.2f}" if event.seconds else ""
            cells = (_time(event.at), event.stage, event.outcome, seconds, event.detail)
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
    if len(events) > _SHOWN_EVENTS:
        console.print(Text(f"  and {len(events) - _SHOWN_EVENTS} earlier ones (--json has them)"))


def _lines(history: FileHistory) -> Iterator[str]:
    """Write what is known of a file, but for what happened to it."""
    for version in history.versions:
        key = str(FileKey(version.path, version.filename))
        words = f"{'present' if version.present else 'gone'}{', canonical' if version.canonical else ''}"
        yield f"version {key}: {words}, MD5 {version.file_md5}, since {_time(version.entrytime)}"
    if history.dhs is not None:
        yield f"DHS copy: MD5 {history.dhs.md5}, landed {_time(history.dhs.landed_at)}"
    for upload in history.uploads:
        yield f"received over HTTP {_time(upload.received_at)}: MD5 {upload.md5}"
    for item in history.items:
        target = f" to {item.destination}" if item.destination else ""
        error = f": {item.error}" if item.error else ""
        yield f"queue {item.stage}{target}: {item.state}, in it since {_time(item.added_at)}{error}"
    for edit in history.edits:
        state = f"applied {_time(edit.applied_at)}" if edit.applied_at else "waiting"
        yield f"header edit {json.dumps(edit.cards)} by {edit.asked_by}: {edit.error or state}"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
