"""``fits-dagster calibrations``: which calibrations files have, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from rich.console import Console
from rich.table import Table

from fits_dagster.calibration.lookup import (
    MOST_LEVELS,
    AssociatedCalibration,
    associated_calibrations,
)
from fits_dagster.calibration.rules import CALTYPES
from fits_dagster.cli.options import home_option, json_option, site_option
from fits_dagster.settings import SiteName, load_settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from fits_dagster.calibration.explain import Candidate, Explanation
    from fits_dagster.calibration.lookup import CalibrationList

__all__ = ["calibrations"]

#: Value of ``--why`` without a type.
_EVERY: Final = "every"
_Answer = TypeVar("_Answer")


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--all", "all_types", is_flag=True, help="Also types that the file does not need.")
@click.option(
    "--why",
    is_flag=False,
    flag_value=_EVERY,
    type=click.Choice([_EVERY, *CALTYPES]),
    metavar="[TYPE]",
    help="Explain: what the calibrations share with the file, who was passed over, what was missing.",
)
@click.option(
    "--levels",
    type=click.IntRange(1, MOST_LEVELS),
    help="One list for all files: their calibrations, those that these need, and so on, so many levels.",
)
@json_option
@site_option("archive")
@home_option
def calibrations(
    names: tuple[str, ...],
    all_types: bool,
    why: str | None,
    levels: int | None,
    as_json: bool,
    site: SiteName,
    home: Path,
) -> None:
    """Print the calibrations of files: type, then names in rank order.

    NAMES come first where --why has no type. Exits with 1 if a name is not known.
    """
    from fits_dagster.calibration.explain import explain_all
    from fits_dagster.calibration.lookup import associations_of, current_header
    from fits_dagster.database.session import site_database

    def lists(connection: Connection, name: str) -> list[CalibrationList]:
        return associations_of(connection, name, all_types=all_types)

    def reasons(connection: Connection, name: str) -> list[Explanation]:
        chosen = None if why == _EVERY else why
        return explain_all(connection, name, chosen, all_types=all_types)

    if levels is not None and (all_types or why is not None):
        raise click.UsageError("--levels goes with neither --all nor --why")
    console = Console()
    unknown: list[str] = []
    answer: Mapping[str, Any] | Sequence[Any]
    with site_database(load_settings(home), site) as connection:
        if levels is not None:
            headers = _answers(connection, names, current_header, unknown).values()
            associated = associated_calibrations(connection, list(headers), levels=levels)
            answer = [_associated(each) for each in associated]
            if not as_json:
                console.print(_levels_table(associated))
        elif why is None:
            found = _answers(connection, names, lists, unknown)
            answer = {n: {e.caltype: e.names for e in each} for n, each in found.items()}
            if not as_json:
                for name, each in found.items():
                    console.print(_table(name, each))
        else:
            explained = _answers(connection, names, reasons, unknown)
            answer = {n: {e.caltype: e.as_dict() for e in each} for n, each in explained.items()}
            if not as_json:
                for name, explanations in explained.items():
                    _print_reasons(console, name, explanations)
    if as_json:
        click.echo(json.dumps(answer, indent=1, default=str))
    for message in unknown:
        click.echo(f"fits-dagster: {message} at the {site}", err=True)
    sys.exit(1 if unknown else 0)


def _answers(
    connection: Connection,
    names: Sequence[str],
    ask: Callable[[Connection, str], _Answer],
    unknown: list[str],
) -> dict[str, _Answer]:
    """Ask about every name; messages about those that are not known go to ``unknown``."""
    found = {}
    for name in names:
        try:
            found[name] = ask(connection, name)
        except LookupError as error:
            unknown.append(str(error))
    return found


def _table(name: str, lists: Sequence[CalibrationList]) -> Table:
    from fits_dagster.nights import Night

    table = Table(
        *("type", "rank", "file", "night", "distance", "equal to the target's"),
        title=name,
        title_justify="left",
    )
    for each in lists:
        caltype = each.caltype if each.applicable else f"{each.caltype} (not needed)"
        key = ", ".join(f"{column} {_values(values)}" for column, values in each.key.items())
        if not each.calibrations:
            table.add_row(caltype, "-", "none", "", "", key, style="dim")
        for rank, one in enumerate(each.calibrations):
            first = rank == 0
            table.add_row(
                caltype if first else "",
                str(rank),
                one.name,
                str(Night.of_name(one.name) or ""),
                _distance(one.seconds),
                key if first else "",
            )
    return table


def _associated(each: AssociatedCalibration) -> dict[str, Any]:
    return {
        "name": each.name,
        "caltype": each.caltype,
        "rank": each.rank,
        "level": each.level,
        "primary": each.is_primary,
    }


def _levels_table(found: Sequence[AssociatedCalibration]) -> Table:
    from fits_dagster.nights import Night

    table = Table("level", "type", "rank", "file", "night")
    for each in found:
        cells = str(each.level), each.caltype, str(each.rank), each.name, str(Night.of_name(each.name) or "")
        table.add_row(*cells, style=None if each.is_primary else "dim")
    return table


def _print_reasons(console: Console, name: str, explanations: Sequence[Explanation]) -> None:
    console.print(name, style="bold", highlight=False)
    for each in explanations:
        needed = "" if each.applicable else " (the file does not need this type)"
        console.print(f"  {each.caltype}{needed}", style="cyan", markup=False, highlight=False)
        lines = [f"equal to the target's: {column} {_values(v)}" for column, v in each.key.items()]
        lines += [f"{rank} {_one(chosen)}" for rank, chosen in enumerate(each.chosen)]
        if not each.chosen:
            lines.append("none" + (f": {each.remark}" if each.remark else ""))
        if each.nearest:
            lines.append("passed over although nearer:" if each.chosen else "those that came nearest:")
        for candidate in each.nearest:
            lines.append(f"  {_one(candidate)}")
            lines += [f"    {miss}" for miss in candidate.misses]
        for line in lines:
            console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)


def _one(candidate: Candidate) -> str:
    return f"{candidate.name} ({_distance(candidate.seconds)})"


def _values(values: Sequence[Any]) -> str:
    return "/".join("nothing" if value is None else str(value) for value in values)


def _distance(seconds: float | None) -> str:
    """Return a distance in time for people: sign, then the unit that suits it."""
    if seconds is None:
        return "no time"
    size = abs(seconds)
    for limit, length, unit in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172800.0, 3600.0, "h")):
        if size < limit:
            return f"{seconds / length:+.1f} {unit}"
    return f"{seconds / 86400.0:+.1f} d"
