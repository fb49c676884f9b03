"""``fits-dagster bench``: how fast each stage is, against the least that its work can cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import click
from rich.console import Console

from fits_dagster.cli.options import json_option
from fits_dagster.cli.simulate_year import simulate_year

if TYPE_CHECKING:
    from benchmarks.figures import Figures
    from fits_dagster.settings import SiteName

__all__ = ["bench"]

_Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

_home = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Measure on the disk of this directory, in a home that is removed. Default: temporary files.",
)
_workers = click.option(
    "--workers", multiple=True, type=click.IntRange(1), help="Workers; may be repeated.  [default: 1, 2]"
)


def _files(default: int) -> _Decorator:
    return click.option("--files", default=default, show_default=True, type=click.IntRange(1), help="Files.")


def _size(default: float) -> _Decorator:
    return click.option(
        "--size-mb",
        "megabytes",
        default=default,
        show_default=True,
        help="Size of one; the nearest binning of GMOS.",
    )


@click.group()
def bench() -> None:
    """Measure a stage and, in the same run, the least that its work can cost."""


bench.add_command(simulate_year, "year")


@bench.command()
@_files(10)
@_size(30.0)
@_workers
@click.option("--site", type=click.Choice(["summit", "archive"]), default="summit", show_default=True)
@_home
@json_option
def ingest(
    files: int, megabytes: float, workers: tuple[int, ...], site: SiteName, home: Path | None, as_json: bool
) -> None:
    """Ingest of GMOS files; floor: md5 and astropy's reading of the headers."""
    from benchmarks.ingest import measure_ingest

    runs = measure_ingest(home, files=files, megabytes=megabytes, workers=workers or (1, 2), site=site)
    _show("ingest", runs, as_json)


@bench.command()
@_files(2000)
@click.option("--files-per-night", default=1000, show_default=True, type=click.IntRange(1))
@_home
@json_option
def reingest(files: int, files_per_night: int, home: Path | None, as_json: bool) -> None:
    """Re-ingest of nights that have not changed; floor: listing and looking at their files."""
    from benchmarks.rescan import measure_reingest

    _show("reingest", measure_reingest(home, files=files, files_per_night=files_per_night), as_json)


@bench.command()
@_files(6)
@_size(30.0)
@_workers
@_home
@json_option
def copy(files: int, megabytes: float, workers: tuple[int, ...], home: Path | None, as_json: bool) -> None:
    """Copy from the DHS; floor: copy with md5, fsync and rename."""
    from benchmarks.transfer import measure_copy

    runs = measure_copy(home, files=files, megabytes=megabytes, workers=workers or (1, 2))
    _show("copy", runs, as_json)


@bench.command()
@_files(4)
@_size(15.0)
@_workers
@_home
@json_option
def export(files: int, megabytes: float, workers: tuple[int, ...], home: Path | None, as_json: bool) -> None:
    """Export over HTTP to an archive in another process; floor: bzip2 of the same bytes."""
    from benchmarks.transfer import measure_export

    runs = measure_export(home, files=files, megabytes=megabytes, workers=workers or (1, 2))
    _show("export", runs, as_json)


@bench.command()
@_files(4)
@_size(30.0)
@_workers
@_home
@json_option
def header_export(
    files: int, megabytes: float, workers: tuple[int, ...], home: Path | None, as_json: bool
) -> None:
    """Export of edited headers alone; floor: the transfer of the same files."""
    from benchmarks.header_export import measure_header_export

    runs = measure_header_export(home, files=files, megabytes=megabytes, workers=workers or (1, 2))
    _show("header-export", runs, as_json)


@bench.command()
@_files(6)
@_home
@json_option
def preview(files: int, home: Path | None, as_json: bool) -> None:
    """Previews of five kinds of files; floor: reading, means over blocks, the JPEG encoder."""
    from benchmarks.previews import measure_previews

    _show("preview", measure_previews(home, files=files), as_json)


@bench.command()
@_files(40)
@click.option("--seconds", default=20.0, show_default=True, help="Time over which they are fed.")
@click.option("--warm-files", default=40, show_default=True, type=click.IntRange(0), help="One a second.")
@click.option("--quiet-rounds", default=5, show_default=True, type=click.IntRange(0))
@click.option("--quiet-seconds", default=60.0, show_default=True, help="Before each first file.")
@_home
@json_option
def latency(
    files: int,
    seconds: float,
    warm_files: int,
    quiet_rounds: int,
    quiet_seconds: float,
    home: Path | None,
    as_json: bool,
) -> None:
    """From the DHS to the databases and the preview: a cold system, a warm one, a file after quiet."""
    from benchmarks.latency import measure_latency, print_latency

    figures = measure_latency(
        home,
        files=files,
        seconds=seconds,
        warm_files=warm_files,
        quiet_rounds=quiet_rounds,
        quiet_seconds=quiet_seconds,
    )
    _show_object(figures, print_latency, as_json)


@bench.command()
@click.option("--settle-seconds", default=60.0, show_default=True, help="Before the measurement.")
@click.option("--seconds", default=120.0, show_default=True, help="Of the measurement.")
@_home
@json_option
def idle(settle_seconds: float, seconds: float, home: Path | None, as_json: bool) -> None:
    """A whole system that has nothing to do: processor, memory, processes, and whose they are."""
    from benchmarks.idle import measure_idle, print_idle

    _show_object(measure_idle(home, settle_seconds=settle_seconds, seconds=seconds), print_idle, as_json)


@bench.command()
@click.option("--singles", default=5, show_default=True, type=click.IntRange(1), help="Runs one by one.")
@_home
@json_option
def runs(singles: int, home: Path | None, as_json: bool) -> None:
    """A run with nothing to do, one by one and twenty at once; floor: the launcher of Dagster itself."""
    from benchmarks.runs import measure_runs, print_runs

    _show_object(measure_runs(home, singles=singles), print_runs, as_json)


@bench.command()
@_files(400)
@click.option("--share", default=0.3, show_default=True, help="Of a processor, for each host.")
@click.option("--store", type=click.Choice(["directory", "s3"]), default="directory", show_default=True)
@_home
@json_option
def scale(
    files: int, share: float, store: Literal["directory", "s3"], home: Path | None, as_json: bool
) -> None:
    """A backlog with one host, with two, and with one that is cut off; needs root and network namespaces."""
    from benchmarks.hosts import why_not
    from benchmarks.scale import measure_scale, print_scale

    if reason := why_not():
        raise click.ClickException(reason)
    _show_object(measure_scale(home, files=files, share=share, store=store), print_scale, as_json)


@bench.command()
@click.option("--systems", default=3, show_default=True, type=click.IntRange(1))
@_files(40)
@_home
@json_option
def crowd(systems: int, files: int, home: Path | None, as_json: bool) -> None:
    """Several whole systems at once on this machine, each with a night of files, and how it recovers."""
    from benchmarks.crowd import measure_crowd, print_crowd

    _show_object(measure_crowd(home, systems=systems, files=files), print_crowd, as_json)


def _show_object(
    figures: dict[str, Any], show: Callable[[dict[str, Any], Console], None], as_json: bool
) -> None:
    if as_json:
        click.echo(json.dumps(figures, indent=1))
    else:
        show(figures, Console())


@bench.command()
@click.option("--nights", default=300, show_default=True, type=click.IntRange(1), help="Old nights.")
@click.option("--files-per-night", default=10, show_default=True, type=click.IntRange(1))
@_files(40)
@click.option("--seconds", default=20.0, show_default=True, help="Time over which live files are fed.")
@click.option("--to-the-end", is_flag=True, help="Wait until the backfill has ended, and tell its rate.")
@_home
@json_option
def backfill(
    nights: int,
    files_per_night: int,
    files: int,
    seconds: float,
    to_the_end: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Live files while a backfill of old nights is under way; floor: without it."""
    from benchmarks.backfill import measure_backfill, print_backfill

    figures = measure_backfill(
        home,
        nights=nights,
        files_per_night=files_per_night,
        files=files,
        seconds=seconds,
        to_the_end=to_the_end,
    )
    if as_json:
        click.echo(json.dumps(figures, indent=1))
    else:
        print_backfill(figures, Console())


@bench.command()
@_files(60)
@_home
@json_option
def small(files: int, home: Path | None, as_json: bool) -> None:
    """Ingest of files of 1 MB, processor; floor: the same rows by COPY."""
    from benchmarks.small import measure_small_files

    _show("small", measure_small_files(home, files=files), as_json)


@bench.command()
@_files(600)
@_workers
@_home
@json_option
def load(files: int, workers: tuple[int, ...], home: Path | None, as_json: bool) -> None:
    """Initial load of files of 1 MB; floor: copying, reading and drawing them without a database."""
    from benchmarks.load import measure_load

    _show("load", measure_load(home, files=files, workers=workers or (1, 2)), as_json)


@bench.command()
@_files(120)
@_size(27.7)
@_home
@json_option
def rebuild(files: int, megabytes: float, home: Path | None, as_json: bool) -> None:
    """The database made again from a store; floor: reading the store on all cores."""
    from benchmarks.rebuild import measure_rebuild

    _show("rebuild", measure_rebuild(home, files=files, megabytes=megabytes), as_json)


@bench.command()
@click.option("--items", default=8000, show_default=True, type=click.IntRange(100))
@click.option("--workers", default=4, show_default=True, type=click.IntRange(1), help="Processes.")
@_home
@json_option
def ledger(items: int, workers: int, home: Path | None, as_json: bool) -> None:
    """Claiming and settling items without work; floor: bare statements on a like table."""
    from benchmarks.ledger import measure_ledger

    _show("ledger", measure_ledger(home, items=items, workers=workers), as_json)


@bench.command()
@_files(4)
@_size(28.0)
@_home
@json_option
def objects(files: int, megabytes: float, home: Path | None, as_json: bool) -> None:
    """Storing to S3 and fetching from it; floor: bare boto3 with the same parts."""
    from benchmarks.objects import measure_objects

    _show("objects", measure_objects(home, files=files, megabytes=megabytes), as_json)


@bench.command()
@_files(5000)
@_home
@json_option
def memory(files: int, home: Path | None, as_json: bool) -> None:
    """Memory of a worker over many files; the ratio is that of memory at the end and after a tenth."""
    from benchmarks.memory import measure_memory

    _show("memory", measure_memory(home, files=files), as_json)


@bench.command()
@_home
@json_option
def start(home: Path | None, as_json: bool) -> None:
    """Starting the command line; floor: starting Python."""
    from benchmarks.start import measure_start

    _show("start", measure_start(home), as_json)


@bench.command("all")
@click.option("--only", multiple=True, metavar="BENCH", help="Just this one; may be repeated.")
@click.option("--write", is_flag=True, help="Put the table into docs/performance.md.")
@_home
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
@_home
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

    _show("describe", measure_describe(rounds=rounds), as_json)


@bench.command()
@click.option("--waiting", default=100_000, show_default=True, type=click.IntRange(1))
@click.option("--failed", default=10_000, show_default=True, type=click.IntRange(0))
@_home
@json_option
def queuestatus(waiting: int, failed: int, home: Path | None, as_json: bool) -> None:
    """The queue status page with long queues; floor: one count of the same queues in the database."""
    from benchmarks.queuestatus import measure_queue_status

    _show("queuestatus", measure_queue_status(home, waiting=waiting, failed=failed), as_json)


@bench.command()
@click.option(
    "--rows",
    default="10000,100000,1000000",
    show_default=True,
    help="Headers in the archive, one figure or several with commas.",
)
@_home
@json_option
def calibrations(rows: str, home: Path | None, as_json: bool) -> None:
    """Association of a night's files, by size of the archive; floor: writing the answers to the cache."""
    from benchmarks.calibrations import measure_calibrations

    _show("calibrations", measure_calibrations(home, rows=_sizes(rows)), as_json)


@bench.command("scale-rows")
@click.option(
    "--rows",
    default="10000,1000000",
    show_default=True,
    help="File versions in the archive, one figure or several with commas.",
)
@_home
@json_option
def scale_rows(rows: str, home: Path | None, as_json: bool) -> None:
    """The daily work beside few file versions and beside very many: it must cost the same."""
    from benchmarks.rows import measure_rows, print_rows

    _show_object(measure_rows(home, rows=_sizes(rows)), print_rows, as_json)


def _sizes(rows: str) -> list[int]:
    try:
        return [int(each) for each in rows.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{rows!r} is no list of numbers", param_hint="--rows") from error


@bench.command()
@click.option(
    "--headers", default=1_000_000, show_default=True, type=click.IntRange(1), help="In the archive."
)
@_home
@json_option
def http(headers: int, home: Path | None, as_json: bool) -> None:
    """Lists, searches and pages of a large archive, and a file; floors: the least answer, a static server."""
    from benchmarks.http import measure_http

    _show("http", measure_http(home, headers=headers), as_json)


def _show(name: str, runs: Sequence[Figures], as_json: bool) -> None:
    from benchmarks.figures import as_object, print_figures

    if as_json:
        click.echo(json.dumps(as_object(name, runs), indent=1))
    else:
        print_figures(runs, Console())
