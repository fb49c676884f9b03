"""Commands of ``fits-dagster bench`` that measure whole systems and whole archives."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from benchmarks.options import (
    files_option,
    home_option,
    show,
    show_object,
    size_option,
    sizes_of,
    workers_option,
)
from fits_dagster.cli.options import json_option

__all__ = ["COMMANDS"]


@click.command()
@files_option(40)
@click.option("--seconds", default=20.0, show_default=True, help="Time over which they are fed.")
@click.option("--warm-files", default=40, show_default=True, type=click.IntRange(0), help="One a second.")
@click.option("--quiet-rounds", default=5, show_default=True, type=click.IntRange(0))
@click.option("--quiet-seconds", default=60.0, show_default=True, help="Before each first file.")
@home_option
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
    show_object(figures, print_latency, as_json)


@click.command()
@click.option("--settle-seconds", default=60.0, show_default=True, help="Before the measurement.")
@click.option("--seconds", default=120.0, show_default=True, help="Of the measurement.")
@home_option
@json_option
def idle(settle_seconds: float, seconds: float, home: Path | None, as_json: bool) -> None:
    """A whole system that has nothing to do: processor, memory, processes, and whose they are."""
    from benchmarks.idle import measure_idle, print_idle

    show_object(measure_idle(home, settle_seconds=settle_seconds, seconds=seconds), print_idle, as_json)


@click.command()
@click.option("--singles", default=5, show_default=True, type=click.IntRange(1), help="Runs one by one.")
@home_option
@json_option
def runs(singles: int, home: Path | None, as_json: bool) -> None:
    """A run with nothing to do, one by one and twenty at once; floor: the launcher of Dagster itself."""
    from benchmarks.runs import measure_runs, print_runs

    show_object(measure_runs(home, singles=singles), print_runs, as_json)


@click.command()
@files_option(400)
@click.option("--share", default=0.3, show_default=True, help="Of a processor, for each host.")
@click.option("--store", type=click.Choice(["directory", "s3"]), default="directory", show_default=True)
@home_option
@json_option
def scale(
    files: int, share: float, store: Literal["directory", "s3"], home: Path | None, as_json: bool
) -> None:
    """A backlog with one host, with two, and with one that is cut off; needs root and network namespaces."""
    from benchmarks.hosts import why_not
    from benchmarks.scale import measure_scale, print_scale

    if reason := why_not():
        raise click.ClickException(reason)
    show_object(measure_scale(home, files=files, share=share, store=store), print_scale, as_json)


@click.command()
@click.option("--systems", default=3, show_default=True, type=click.IntRange(1))
@files_option(40)
@home_option
@json_option
def crowd(systems: int, files: int, home: Path | None, as_json: bool) -> None:
    """Several whole systems at once on this machine, each with a night of files, and how it recovers."""
    from benchmarks.crowd import measure_crowd, print_crowd

    show_object(measure_crowd(home, systems=systems, files=files), print_crowd, as_json)


@click.command()
@click.option("--nights", default=300, show_default=True, type=click.IntRange(1), help="Old nights.")
@click.option("--files-per-night", default=10, show_default=True, type=click.IntRange(1))
@files_option(40)
@click.option("--seconds", default=20.0, show_default=True, help="Time over which live files are fed.")
@click.option("--to-the-end", is_flag=True, help="Wait until the last backfill has ended, and tell its rate.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="The medians count.")
@home_option
@json_option
def backfill(
    nights: int,
    files_per_night: int,
    files: int,
    seconds: float,
    to_the_end: bool,
    rounds: int,
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
        rounds=rounds,
    )
    show_object(figures, print_backfill, as_json)


@click.command()
@files_option(600)
@workers_option
@home_option
@json_option
def load(files: int, workers: tuple[int, ...], home: Path | None, as_json: bool) -> None:
    """Initial load of files of 1 MB; floor: copying, reading and drawing them without a database."""
    from benchmarks.load import measure_load

    show("load", measure_load(home, files=files, workers=workers or (1, 2)), as_json)


@click.command()
@files_option(120)
@size_option(27.7)
@home_option
@click.option(
    "--place",
    type=click.Choice(["memory", "disk", "s3"]),
    default="memory",
    show_default=True,
    help="Where the store is: files in the page cache, files of which nothing is in it, or objects.",
)
@click.option("--compressed", is_flag=True, help="The files are .bz2, as an archive has them.")
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="Rebuilds; the medians count."
)
@json_option
def rebuild(
    files: int,
    megabytes: float,
    home: Path | None,
    place: Literal["memory", "disk", "s3"],
    compressed: bool,
    rounds: int,
    as_json: bool,
) -> None:
    """The database made again from a store; floor: reading the store on all cores."""
    from benchmarks.rebuild import measure_rebuild

    show(
        "rebuild",
        measure_rebuild(
            home, files=files, megabytes=megabytes, place=place, compressed=compressed, rounds=rounds
        ),
        as_json,
    )


@click.command("rebuild-store")
@click.option("--objects", default=10_000, show_default=True, type=click.IntRange(20), help="In the store.")
@home_option
@json_option
def rebuild_store(objects: int, home: Path | None, as_json: bool) -> None:
    """The database made again from a store of many small files while processes are killed: complete."""
    from benchmarks.large_rebuild import measure_large_rebuild, print_large_rebuild

    show_object(measure_large_rebuild(home, objects=objects), print_large_rebuild, as_json)


@click.command("scale-rows")
@click.option(
    "--rows",
    default="10000,1000000",
    show_default=True,
    help="File versions in the archive, one figure or several with commas.",
)
@home_option
@json_option
def scale_rows(rows: str, home: Path | None, as_json: bool) -> None:
    """The daily work beside few file versions and beside very many: it must cost the same."""
    from benchmarks.rows import measure_rows, print_rows

    show_object(measure_rows(home, rows=sizes_of(rows)), print_rows, as_json)


@click.command()
@click.option(
    "--headers", default=1_000_000, show_default=True, type=click.IntRange(1), help="In the archive."
)
@home_option
@json_option
def http(headers: int, home: Path | None, as_json: bool) -> None:
    """Lists, searches and pages of a large archive, and a file; floors: the least answer, a static server."""
    from benchmarks.http import measure_http

    show("http", measure_http(home, headers=headers), as_json)


COMMANDS = (latency, idle, runs, scale, crowd, backfill, load, rebuild, rebuild_store, scale_rows, http)
