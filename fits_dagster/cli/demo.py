"""``fits-dagster demo``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from fits_dagster.cli.options import home_option
from fits_dagster.startup import quick_imports

__all__ = ["demo"]


@click.command()
@home_option
@click.option("--files", default=40, show_default=True, help="Number of simulated files.")
@click.option("--seconds", default=30.0, show_default=True, help="Time over which they are fed.")
@click.option("--instrument", "instruments", multiple=True, help="Only these instruments; may be repeated.")
@click.option("--full-size", is_flag=True, help="True detector sizes.")
@click.option(
    "--from",
    "from_directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Use the FITS files below this directory as the night.",
)
@click.option(
    "--summits", type=click.IntRange(1, 2), default=1, show_default=True, help="2: north and south."
)
@click.option("--exit", "exit_after", is_flag=True, help="Stop when the files have arrived.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures to this file.",
)
def demo(
    home: Path,
    files: int,
    seconds: float,
    instruments: tuple[str, ...],
    full_size: bool,
    from_directory: Path | None,
    summits: int,
    exit_after: bool,
    json_file: Path | None,
) -> None:
    """Watch a night of files travel from a DHS directory through the summit to the archive.

    Everything is written below HOME/demo, which is made anew each time. Exits with 1 if anything is missing
    or altered, and if a simulated file fails.
    """
    with quick_imports():
        from fits_dagster.demo.report import DemoReport, print_report
        from fits_dagster.demo.run import DemoOptions, run_demo, serve_until_stopped
        from fits_dagster.system.up import System, stop_on_sigterm

    console = Console()
    options = DemoOptions(
        home=home,
        files=files,
        seconds=seconds,
        instruments=instruments,
        full_size=full_size,
        from_directory=from_directory,
        summits=summits,
    )

    def show(system: System, report: DemoReport) -> None:
        print_report(report, console)
        if json_file is not None:
            json_file.write_text(json.dumps(report.as_dict(), indent=1) + "\n")
        if not exit_after:
            serve_until_stopped(system, console)

    try:
        with stop_on_sigterm():
            report = run_demo(options, console, after=show)
    except KeyboardInterrupt:
        sys.exit(130)
    own_failures = bool(report.refused) and from_directory is None
    sys.exit(0 if report.is_good and not own_failures else 1)
