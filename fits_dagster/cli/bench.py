"""``fits-dagster bench``: the measurements of the checkout; an installed package has none."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

__all__ = ["bench", "find_benchmarks"]

_CHECKOUT = Path(__file__).resolve().parents[2]


def find_benchmarks() -> None:
    """Let the measurements of the checkout be imported.

    Raises
    ------
    click.ClickException
        This is an installed package.
    """
    if not (_CHECKOUT / "benchmarks" / "commands.py").is_file():
        raise click.ClickException("the benchmarks are in the checkout, not in the installed package")
    if str(_CHECKOUT) not in sys.path:
        sys.path.append(str(_CHECKOUT))


def _benchmarks() -> click.Command:
    find_benchmarks()
    command: click.Command = import_module("benchmarks.commands").bench
    return command


class _Bench(click.Group):
    """The group of the checkout, imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        group = _benchmarks()
        assert isinstance(group, click.Group)
        return group.list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        group = _benchmarks()
        assert isinstance(group, click.Group)
        return group.get_command(ctx, cmd_name)


@click.group(cls=_Bench)
@click.pass_context
def bench(context: click.Context) -> None:
    """Measure a stage and, in the same run, the least that its work can cost.

    The figures are printed as a table, with --json as an object. Everything is written to a temporary home.
    """
    from fits_dagster.system.up import stop_on_sigterm

    context.with_resource(stop_on_sigterm())
