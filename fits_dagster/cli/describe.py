"""``fits-dagster describe``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fits_dagster.cli.options import json_option
from fits_dagster.cli.paths import fits_files, progress_bar
from fits_dagster.fits.names import shown_name

if TYPE_CHECKING:
    from fits_dagster.fits.problems import Problem

__all__ = ["describe"]

#: Numbers of files from which a progress bar is shown, and up to which each gets a table of its own.
_BAR_FROM: Final = 20
_OWN_TABLE_UP_TO: Final = 5
_LIST_COLUMNS: Final = {
    "name": "file",
    "instrument": "instrument",
    "ut_datetime": "UT",
    "observation_type": "type",
    "object": "object",
    "exposure_time": "seconds",
    "filter_name": "filter",
}
_MAY_BE_CUT: Final = frozenset({"object", "filter_name"})
_TO_THE_SECOND: Final = len("2025-11-23 01:00:37")


@dataclass(frozen=True)
class _Described:
    """What is to be shown of one file."""

    path: Path
    #: The archive's summary; None for a file that has no header record.
    record: dict[str, object] | None
    tags: Sequence[str] = ()
    warnings: Sequence[str] = ()
    findings: Sequence[Problem] = ()
    #: Why there is no record: reason and message.
    error: tuple[str, str] | None = None


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@click.option(
    "--tags", "with_tags", is_flag=True, help="Show the classification tags alone; in JSON add them."
)
@click.option("--verify", is_flag=True, help="Verify structure and checksums too, and show the findings.")
@click.option(
    "--full/--short", default=None, help="A table for each file, or a line. Default: by their number."
)
def describe(
    files: tuple[Path, ...], as_json: bool, with_tags: bool, verify: bool, full: bool | None
) -> None:
    """Print the records that the archive would hold of FITS files.

    A directory stands for the FITS files below it, a quoted pattern for what it matches. Exits with 1 if any
    file failed; what is wrong with it is told on the standard error.
    """
    complaints = Console(stderr=True)
    chosen = list(fits_files(files))
    described: list[_Described] = []
    for path in _with_bar(chosen, complaints):
        one = _describe(path, verify=verify)
        described.append(one)
        if one.error is not None:
            _say(complaints, f"{shown_name(str(path))}: {one.error[0]}: {one.error[1]}")
        if not as_json:
            for warning in one.warnings:
                _say(complaints, f"{shown_name(path.name)}: {warning}", style="dim")
    if not chosen:
        complaints.print("no FITS files there")
    if as_json:
        objects = [
            _as_object(d, with_tags=with_tags, verify=verify) for d in described if d.record is not None
        ]
        click.echo(json.dumps(objects, indent=1, default=str))
    else:
        own_tables = len(chosen) <= _OWN_TABLE_UP_TO if full is None else full
        _print(described, Console(), tags_only=with_tags, own_tables=own_tables, verify=verify)
    sys.exit(1 if not chosen or any(d.error is not None for d in described) else 0)


def _say(console: Console, line: str, style: str = "") -> None:
    """Print a line as it is: names of files and texts of headers are no markup."""
    console.print(Text(line, style), soft_wrap=True)


def _with_bar(paths: Sequence[Path], console: Console) -> Iterator[Path]:
    if len(paths) < _BAR_FROM:
        yield from paths
        return
    with progress_bar(console) as bar:
        task = bar.add_task("describe", total=len(paths))
        for path in paths:
            yield path
            bar.advance(task)


def _describe(path: Path, *, verify: bool) -> _Described:
    """Describe one file; whatever is wrong with it is part of the answer."""
    from fits_dagster.errors import describe_error
    from fits_dagster.fits.verify import check_structure
    from fits_dagster.metadata import summary
    from fits_dagster.stages.ingest import observe

    findings: Sequence[Problem] = ()
    try:
        if path.is_dir():
            raise IsADirectoryError("a directory without FITS files")
        seen = observe(path, shown_name(path.name))
        if seen.description is None:
            return _Described(path, None, warnings=["an observation log or miscellaneous file has no record"])
        findings = check_structure(seen.inspection, path=path, verify_checksums=True) if verify else ()
        inspection = seen.inspection
        facts = {
            "file_size": inspection.file_size,
            "file_md5": inspection.file_md5,
            "data_size": inspection.data_size,
            "data_md5": inspection.data_md5,
            "lastmod": datetime.fromtimestamp(path.stat().st_mtime, UTC),
        }
        record = summary(seen.description.record, shown_name(path.name), facts)
        return _Described(path, record, sorted(seen.description.tags), seen.description.warnings, findings)
    except Exception as error:  # one bad file never stops the others
        reason, _, line, _ = describe_error(error)
        if verify and path.is_file():
            findings = check_structure(path)
        return _Described(path, None, findings=findings, error=(reason, line))


def _as_object(one: _Described, *, with_tags: bool, verify: bool) -> dict[str, object]:
    extra: dict[str, object] = {}
    if with_tags:
        extra["tags"] = list(one.tags)
    if verify:
        extra["findings"] = [
            {"severity": f.severity, "code": f.code, "message": f.message} for f in one.findings
        ]
    return {**(one.record or {}), **extra}


def _print(
    described: Sequence[_Described], console: Console, *, tags_only: bool, own_tables: bool, verify: bool
) -> None:
    records = [one for one in described if one.record is not None]
    if tags_only:
        for one in records:
            _say(console, f"{shown_name(one.path.name)}: {' '.join(one.tags)}")
    elif own_tables:
        for one in records:
            console.print(_record_table(one))
    elif records:
        console.print(_list_table(records))
    if verify:
        for one in described:
            _print_findings(one, console)


def _record_table(one: _Described) -> Table:
    table = Table(title=Text(shown_name(one.path.name)), show_header=False, title_justify="left")
    assert one.record is not None
    for key, value in one.record.items():
        if value is not None and value != "" and key != "types":
            table.add_row(key, Text(str(value)))
    table.add_row("types", Text(" ".join(one.tags)))
    return table


def _list_table(described: Sequence[_Described]) -> Table:
    rows = []
    for one in described:
        assert one.record is not None
        row = {key: "" if one.record[key] is None else str(one.record[key]) for key in _LIST_COLUMNS}
        row["ut_datetime"] = row["ut_datetime"][:_TO_THE_SECOND]
        rows.append(row)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for key, title in _LIST_COLUMNS.items():
        widest = None if key in _MAY_BE_CUT else max(len(title), *(len(row[key]) for row in rows))
        table.add_column(title, no_wrap=True, min_width=widest)
    for row in rows:
        table.add_row(*(Text(value) for value in row.values()))
    return table


def _print_findings(one: _Described, console: Console) -> None:
    if not one.findings:
        if one.error is None:
            _say(console, f"{shown_name(one.path.name)}: no findings")
        return
    for finding in one.findings:
        colour = "red" if finding.severity == "refuse" else "yellow"
        line = Text(f"{shown_name(one.path.name)}: ")
        line.append(finding.severity, style=colour)
        line.append(f" {finding.code}: {finding.message}")
        console.print(line, soft_wrap=True)
