"""``fits-dagster bench``: how fast each stage is, against the least that its work can cost."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from benchmarks import system_commands
from benchmarks.options import (
    files_option,
    home_option,
    show,
    size_option,
    sizes_of,
    workers_option,
)
from fits_dagster.cli.options import json_option
from fits_dagster.cli.simulate_year import simulate_year

if TYPE_CHECKING:
    from fits_dagster.settings import SiteName

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Measure a stage and, in the same run, the least that its work can cost."""


bench.add_command(simulate_year, "year")
for each in system_commands.COMMANDS:
    bench.add_command(each)


@bench.command()
@files_option(10)
@size_option(30.0)
@workers_option
@click.option("--site", type=click.Choice(["summit", "archive"]), default="summit", show_default=True)
@home_option
@json_option
def ingest(
    files: int, megabytes: float, workers: tuple[int, ...], site: SiteName, home: Path | None, as_json: bool
) -> None:
    """Ingest of GMOS files; floor: md5 and astropy's reading of the headers."""
    from benchmarks.ingest import measure_ingest

    runs = measure_ingest(home, files=files, megabytes=megabytes, workers=workers or (1, 2), site=site)
    show("ingest", runs, as_json)


@bench.command()
@files_option(2000)
@click.option("--files-per-night", default=1000, show_default=True, type=click.IntRange(1))
@home_option
@json_option
def reingest(files: int, files_per_night: int, home: Path | None, as_json: bool) -> None:
    """Re-ingest of nights that have not changed; floor: listing and looking at their files."""
    from benchmarks.rescan import measure_reingest

    show("reingest", measure_reingest(home, files=files, files_per_night=files_per_night), as_json)


@bench.command()
@files_option(6)
@size_option(30.0)
@workers_option
@home_option
@json_option
def copy(files: int, megabytes: float, workers: tuple[int, ...], home: Path | None, as_json: bool) -> None:
    """Copy from the DHS; floor: copy with md5, fsync and rename."""
    from benchmarks.transfer import measure_copy

    runs = measure_copy(home, files=files, megabytes=megabytes, workers=workers or (1, 2))
    show("copy", runs, as_json)


@bench.command()
@files_option(4)
@size_option(15.0)
@workers_option
@home_option
@json_option
def export(files: int, megabytes: float, workers: tuple[int, ...], home: Path | None, as_json: bool) -> None:
    """Export over HTTP to an archive in another process; floor: bzip2 of the same bytes."""
    from benchmarks.transfer import measure_export

    runs = measure_export(home, files=files, megabytes=megabytes, workers=workers or (1, 2))
    show("export", runs, as_json)


@bench.command()
@files_option(4)
@size_option(30.0)
@workers_option
@home_option
@json_option
def header_export(
    files: int, megabytes: float, workers: tuple[int, ...], home: Path | None, as_json: bool
) -> None:
    """Export of edited headers alone; floor: the transfer of the same files."""
    from benchmarks.header_export import measure_header_export

    runs = measure_header_export(home, files=files, megabytes=megabytes, workers=workers or (1, 2))
    show("header-export", runs, as_json)


@bench.command()
@files_option(6)
@home_option
@json_option
def preview(files: int, home: Path | None, as_json: bool) -> None:
    """Previews of five kinds of files; floor: reading, means over blocks, the JPEG encoder."""
    from benchmarks.previews import measure_previews

    show("preview", measure_previews(home, files=files), as_json)


@bench.command()
@files_option(60)
@home_option
@json_option
def small(files: int, home: Path | None, as_json: bool) -> None:
    """Ingest of files of 1 MB, processor; floor: the same rows by COPY."""
    from benchmarks.small import measure_small_files

    show("small", measure_small_files(home, files=files), as_json)


@bench.command()
@click.option("--items", default=8000, show_default=True, type=click.IntRange(100))
@click.option("--workers", default=4, show_default=True, type=click.IntRange(1), help="Processes.")
@home_option
@json_option
def ledger(items: int, workers: int, home: Path | None, as_json: bool) -> None:
    """Claiming and settling items without work; floor: bare statements on a like table."""
    from benchmarks.ledger import measure_ledger

    show("ledger", measure_ledger(home, items=items, workers=workers), as_json)


@bench.command()
@files_option(4)
@size_option(28.0)
@home_option
@json_option
def objects(files: int, megabytes: float, home: Path | None, as_json: bool) -> None:
    """Storing to S3 and fetching from it; floor: bare boto3 with the same parts."""
    from benchmarks.objects import measure_objects

    show("objects", measure_objects(home, files=files, megabytes=megabytes), as_json)


@bench.command()
@files_option(5000)
@home_option
@json_option
def memory(files: int, home: Path | None, as_json: bool) -> None:
    """Memory of a worker over many files; the ratio is that of memory at the end and after a tenth."""
    from benchmarks.memory import measure_memory

    show("memory", measure_memory(home, files=files), as_json)


@bench.command()
@home_option
@json_option
def start(home: Path | None, as_json: bool) -> None:
    """Starting the command line; floor: starting Python."""
    from benchmarks.start import measure_start

    show("start", measure_start(home), as_json)


@bench.command("all")
@click.option("--only", multiple=True, metavar="BENCH", help="Just this one; may be repeated.")
@click.option("--write", is_flag=True, help="Put the table into docs/performance.md.")
@home_option
@json_option
def all_(only: tuple[str, ...], write: bool, home: Path | None, as_json: bool) -> None:
    """All stages beside their floors: the table of docs/performance.md; ten minutes."""
    from benchmarks.table import as_markdown, measure_all, write_table

    found = measure_all(home, only=only, tell=lambda line: click.echo(line, err=True))
    if write:
        write_table(found)
    click.echo(json.dumps(found, indent=1) if as_json else as_markdown(found))


@bench.command()
@click.option("--write", is_flag=True, help="Keep the ratios as those to compare with.")
@home_option
@json_option
def guard(write: bool, home: Path | None, as_json: bool) -> None:
    """Ratios of the main stages beside those that were kept; fails where one is 1.5 times worse."""
    from benchmarks.guard import keep, measure_guard, print_guard

    found = measure_guard(home)
    if write:
        keep(found)
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in found], indent=1))
    else:
        print_guard(found, Console())
    if any(one.is_worse for one in found) and not write:
        sys.exit(1)


@bench.command()
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(1), help="The median counts.")
@json_option
def describe(rounds: int, as_json: bool) -> None:
    """From headers to a record; floor: astropy's reading of the same headers."""
    from benchmarks.headers import measure_describe

    show("describe", measure_describe(rounds=rounds), as_json)


@bench.command()
@click.option("--waiting", default=100_000, show_default=True, type=click.IntRange(1))
@click.option("--failed", default=10_000, show_default=True, type=click.IntRange(0))
@home_option
@json_option
def queuestatus(waiting: int, failed: int, home: Path | None, as_json: bool) -> None:
    """The queue status page with long queues; floor: one count of the same queues in the database."""
    from benchmarks.queuestatus import measure_queue_status

    show("queuestatus", measure_queue_status(home, waiting=waiting, failed=failed), as_json)


@bench.command()
@click.option(
    "--rows",
    default="10000,100000,1000000",
    show_default=True,
    help="Headers in the archive, one figure or several with commas.",
)
@home_option
@json_option
def calibrations(rows: str, home: Path | None, as_json: bool) -> None:
    """Association of a night's files, by size of the archive; floor: writing the answers to the cache."""
    from benchmarks.calibrations import measure_calibrations

    show("calibrations", measure_calibrations(home, rows=sizes_of(rows)), as_json)
