"""Commands about files: simulate, ingest without the daemon."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console

from fits_dagster.cli.options import home_option, site_option
from fits_dagster.cli.paths import fits_files, progress_bar
from fits_dagster.fits.names import shown_name
from fits_dagster.settings import SiteName, load_settings

__all__ = ["ingest", "simulate"]

_stderr = Console(stderr=True)


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where files go."
)
@click.option("--night", help="Night label YYYYMMDD; default: tonight.")
@click.option("--files", "count", default=40, show_default=True, help="Number of files.")
@click.option("--instrument", "instruments", multiple=True, help="Only these; may be repeated.")
@click.option("--full-size", is_flag=True, help="True detector sizes.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same pixels.")
@click.option(
    "--headers",
    type=click.Path(exists=True, path_type=Path),
    help="Rebuild the files of these header dumps (*.txt) instead.",
)
@click.option(
    "--data",
    type=click.Choice(["zeros", "noise", "shrunk"]),
    default="zeros",
    show_default=True,
    help="Pixels of rebuilt files: a sparse file of the true length, sky-like noise, or axes cut down.",
)
def simulate(
    out: Path,
    night: str | None,
    count: int,
    instruments: tuple[str, ...],
    full_size: bool,
    seed: int,
    headers: Path | None,
    data: Literal["zeros", "noise", "shrunk"],
) -> None:
    """Make a night of realistic FITS files, or rebuild files from header text."""
    from fits_dagster.simulator import instruments_available, rebuild_from_headers, simulate_night

    unknown = set(instruments) - set(instruments_available())
    if unknown:
        raise click.BadParameter(
            f"no simulator for {', '.join(sorted(unknown))}; there is {', '.join(instruments_available())}",
            param_hint="--instrument",
        )
    out.mkdir(parents=True, exist_ok=True)
    with progress_bar(_stderr) as bar:
        total = sum(1 for _ in headers.rglob("*.txt")) if headers is not None and headers.is_dir() else count
        task = bar.add_task("simulate", total=total)
        if headers is not None:
            made = rebuild_from_headers(
                headers,
                out,
                data=data,
                progress=lambda _: bar.advance(task),
                problem=lambda path, text: _stderr.print(f"{path.name}: {text}", markup=False),
            )
        else:
            try:
                made = simulate_night(
                    out,
                    night=night,
                    files=count,
                    instruments=instruments or None,
                    full_size=full_size,
                    seed=seed,
                    progress=lambda _: bar.advance(task),
                )
            except ValueError as error:
                raise click.ClickException(str(error)) from error
    size = sum(path.stat().st_size for path in made)
    click.echo(f"{len(made)} files, {size / 1e6:.1f} MB in {out}")


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@site_option("archive")
@click.option("--path", "store_path", default="", help="Directory in the store that the files go to.")
@click.option("--force", is_flag=True, help="Make new versions even of unchanged files.")
@click.option(
    "--workers",
    default=0,
    type=click.IntRange(0),
    help="Processes.  [default: one a core]",
)
@home_option
def ingest(
    paths: tuple[Path, ...], site: SiteName, store_path: str, force: bool, workers: int, home: Path
) -> None:
    """Store and ingest files, make their previews and associations, without the daemon: an initial load.

    A repeated load does only what is missing. Exits with 1 if any file failed.
    """
    from fits_dagster.system.load import initial_load

    chosen = list(fits_files(paths))
    if not chosen:
        raise click.ClickException("no FITS files there")
    with ExitStack() as stack:
        bar: Any = None
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int) -> None:
            nonlocal bar
            # its thread is begun when the processes of the load have been
            bar = bar or stack.enter_context(progress_bar(_stderr))
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        report = initial_load(
            load_settings(home),
            site,
            chosen,
            store_path=store_path,
            force=force,
            workers=workers,
            progress=advance,
        )
    for stage, outcomes in report.outcomes.items():
        click.echo(f"{stage}: " + ", ".join(f"{count} {word}" for word, count in sorted(outcomes.items())))
    for failure in report.failures:
        name = shown_name(failure.filename)
        _stderr.print(f"{name}: {failure.reason}: {failure.error}", markup=False, highlight=False)
    sys.exit(1 if report.failures else 0)
