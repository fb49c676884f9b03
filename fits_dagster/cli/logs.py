"""``fits-dagster logs``: what the parts of the system write down."""

from __future__ import annotations

from pathlib import Path

import click

from fits_dagster.cli.options import home_option
from fits_dagster.settings import load_settings

__all__ = ["logs"]


@click.command()
@click.argument("names", nargs=-1)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what is written, until Ctrl-C.")
@click.option(
    "-n", "--lines", default=20, show_default=True, type=click.IntRange(0), help="Last lines of each."
)
@click.option(
    "--about",
    metavar="TEXT",
    help="All lines that hold a text, in the order of time: a file's name, or the MD5 of its content.",
)
@home_option
def logs(names: tuple[str, ...], following: bool, lines: int, about: str | None, home: Path) -> None:
    """Print the last lines of log files, and follow them.

    NAMES are stages (ingest), sites (summit), both (summit-ingest) or parts (web, sensors, daemon, alerts).
    Without any, the files are listed, or with --about all of them read.
    """
    from fits_dagster.logs import follow, lines_about, log_files, tail

    files = log_files(load_settings(home), names)
    if not files:
        of = f" of {', '.join(names)}" if names else ""
        raise click.ClickException(f"no log file{of} in {home}")
    if about is not None:
        for line, path in sorted(((line, path) for path, line in lines_about(files, about)), key=_time):
            click.echo(f"{path.stem}: {line}")
        return
    if not names:
        for path in files:
            click.echo(f"{path.stat().st_size:>12} {path}")
        return
    several = len(files) > 1
    found = [(line, path) for path in files for line in tail(path, lines)]
    # lines begin with their time; what a program printed by itself comes first
    for line, path in sorted(found, key=_time) if several else found:
        click.echo(f"{path.stem}: {line}" if several else line)
    if not following:
        return
    try:
        for path, line in follow(files):
            click.echo(f"{path.stem}: {line}" if several else line)
    except KeyboardInterrupt:
        return


def _time(found: tuple[str, Path]) -> str:
    """Return what a line begins with, as text or as JSON: its time to the millisecond."""
    begin = found[0].removeprefix('{"time": "')
    return f"{begin[:10]} {begin[11:19]},{begin[20:23]}"
