"""``fits-dagster simulate-year``: of the checkout, as the measurements are."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from fits_dagster.cli.bench import find_benchmarks

__all__ = ["simulate_year"]


@click.command("simulate-year")
@click.option("--nights", default=365, show_default=True, type=click.IntRange(1), help="Nights in a row.")
@click.option(
    "--files-per-night", default=100, show_default=True, type=click.IntRange(1), help="Files of each night."
)
@click.option(
    "--minutes",
    type=click.FloatRange(0.0),
    help="Begin no further night after so many minutes; what was given is waited for and compared.",
)
@click.option(
    "--speed",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0.0),
    help="Simulated seconds in a real one, 1440: a day in a minute; 0: as fast as the files arrive.",
)
@click.option(
    "--ahead",
    default=2,
    show_default=True,
    type=click.IntRange(1),
    help="Nights that may be on their way before another one begins.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same nights.")
@click.option(
    "--first-night",
    type=click.DateTime(["%Y%m%d"]),
    help="Label of the first night.  [default: so that the last is a week ago]",
)
@click.option("--broken", default=0.005, show_default=True, help="Share of files that are broken.")
@click.option("--late", default=0.05, show_default=True, help="Share of calibrations that come nights later.")
@click.option("--edited", default=0.02, show_default=True, help="Headers edited, as a share of the files.")
@click.option("--outages", default=0.05, show_default=True, help="Share of nights with the archive away.")
@click.option(
    "--keep-nights",
    default=30,
    show_default=True,
    type=click.IntRange(10),
    help="Nights after which files are removed from the summit.",
)
@click.option(
    "--row-nights",
    default=30,
    show_default=True,
    type=click.IntRange(1),
    help="Nights of one row.",
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory below which the home is made, and removed again.  [default: temporary files]",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory in which the home stays: with --minutes a part of the year is run, and the same command "
    "goes on with the next.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures to this file.",
)
def simulate_year(
    nights: int,
    files_per_night: int,
    minutes: float | None,
    speed: float,
    ahead: int,
    seed: int,
    first_night: datetime | None,
    broken: float,
    late: float,
    edited: float,
    outages: float,
    keep_nights: int,
    row_nights: int,
    home: Path | None,
    keep: Path | None,
    json_file: Path | None,
) -> None:
    """Send a year of nights through a summit and an archive, faster than life.

    Small files of all instruments go from the telescope's directory through every stage of both sites, night
    after night, with rescans, header edits, late calibrations, broken files and outages mixed in. At the end
    each file at the archive is compared with what was given. Exits with 1 if anything is missing, altered or
    stuck, or if a file has failed that was not broken.
    """
    find_benchmarks()
    from benchmarks.year.options import YearOptions
    from benchmarks.year.parts import PartError
    from benchmarks.year.plan import Chances
    from benchmarks.year.report import as_object, print_year
    from benchmarks.year.run import simulate_year as simulate
    from fits_dagster.system.up import stop_on_sigterm

    console = Console()
    options = YearOptions(
        nights=nights,
        files_per_night=files_per_night,
        minutes=minutes,
        speed=speed,
        ahead=ahead,
        seed=seed,
        first=None if first_night is None else first_night.date(),
        chances=Chances(broken=broken, late=late, edited=edited, outage=outages),
        keep_nights=keep_nights,
        row_nights=row_nights,
        home=home,
        keep=keep,
    )
    try:
        with stop_on_sigterm():
            year = simulate(options, console)
    except PartError as error:
        raise click.ClickException(str(error)) from error
    print_year(year, console)
    if json_file is not None:
        json_file.write_text(json.dumps(as_object(year), indent=1) + "\n")
    if year.interrupted:
        sys.exit(130)
    sys.exit(0 if year.is_good else 1)
