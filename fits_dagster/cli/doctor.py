"""``fits-dagster doctor``: look at everything, and say what is wrong and what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from fits_dagster.cli.options import home_option, json_option

__all__ = ["doctor"]


@click.command()
@click.option(
    "--patience", default=20.0, show_default=True, help="Seconds after which a check is said to hang."
)
@click.option("--quiet", is_flag=True, help="Print only what is not well.")
@json_option
@home_option
def doctor(patience: float, quiet: bool, as_json: bool, home: Path) -> None:
    """Look at everything on this machine, and say what is wrong and what to do.

    Exits with 0 when all is well, with 1 when there are warnings, with 2 when something is wrong. Nothing is
    started or changed.
    """
    from fits_dagster.doctor.checks import examine_system
    from fits_dagster.doctor.finding import exit_status

    found = examine_system(home, patience=patience)
    status = exit_status(found)
    if as_json:
        click.echo(json.dumps({"status": status, "findings": [each.as_dict() for each in found]}, indent=1))
    else:
        for each in found:
            if quiet and each.verdict == "ok":
                continue
            click.echo(f"{each.verdict:<8} {each.check}: {each.subject}: {each.message}")
            if each.remedy:
                click.echo(f"         → {each.remedy} ({each.runbook})")
        number = {verdict: sum(each.verdict == verdict for each in found) for verdict in ("warning", "wrong")}
        click.echo(f"{number['wrong']} wrong, {number['warning']} warnings, {len(found)} findings")
    sys.exit(status)
