"""What the commands of ``fits-dagster bench`` share: options, and how figures are shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from rich.console import Console

if TYPE_CHECKING:
    from benchmarks.figures import Figures

__all__ = ["files_option", "home_option", "show", "show_object", "size_option", "sizes_of", "workers_option"]

_Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Measure on the disk of this directory, in a home that is removed. Default: temporary files.",
)
workers_option = click.option(
    "--workers", multiple=True, type=click.IntRange(1), help="Workers; may be repeated.  [default: 1, 2]"
)


def files_option(default: int) -> _Decorator:
    """Return the option for a number of files."""
    return click.option("--files", default=default, show_default=True, type=click.IntRange(1), help="Files.")


def size_option(default: float) -> _Decorator:
    """Return the option for the size of a file, megabytes."""
    return click.option(
        "--size-mb",
        "megabytes",
        default=default,
        show_default=True,
        help="Size of one; the nearest binning of GMOS.",
    )


def show_object(
    figures: dict[str, Any], show: Callable[[dict[str, Any], Console], None], as_json: bool
) -> None:
    """Print what a measurement has told, as JSON or by its own function."""
    if as_json:
        click.echo(json.dumps(figures, indent=1))
    else:
        show(figures, Console())


def sizes_of(rows: str) -> list[int]:
    """Read numbers with commas between them."""
    try:
        return [int(each) for each in rows.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{rows!r} is no list of numbers", param_hint="--rows") from error


def show(name: str, runs: Sequence[Figures], as_json: bool) -> None:
    """Print runs of one kind, as JSON or as a table."""
    from benchmarks.figures import as_object, print_figures

    if as_json:
        click.echo(json.dumps(as_object(name, runs), indent=1))
    else:
        print_figures(runs, Console())
