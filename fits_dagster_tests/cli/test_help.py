"""The help of the command line names every command, without importing any."""

from __future__ import annotations

import subprocess
import sys

import click
from click.testing import CliRunner

from fits_dagster.cli import cli
from fits_dagster.cli.requeue import commands_of_stages


def test_every_command_has_a_line_and_every_line_a_command() -> None:
    context = click.Context(cli)
    names = cli.list_commands(context)
    assert {*commands_of_stages()} <= {*names}
    shown = CliRunner().invoke(cli, ["--help"]).stdout.split("Commands:")[1].splitlines()
    assert [line.split()[0] for line in shown if line.strip()] == names
    assert all(len(line.split(maxsplit=1)[1]) > 10 for line in shown if line.strip())
    for name in names:
        assert cli.get_command(context, name) is not None


def test_the_help_imports_neither_database_nor_settings() -> None:
    program = (
        "import sys\nfrom fits_dagster.cli import cli\n"
        "try:\n    cli(['--help'])\nfinally:\n    print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "rebuild-match-keys" in done.stdout
    heavy = {"sqlalchemy", "numpy", "astropy", "dagster", "pydantic", "celery"}
    assert not heavy & set(done.stderr.split())


def test_nothing_that_an_import_makes_is_looked_through_as_garbage() -> None:
    program = (
        "import gc\nfrom fits_dagster.cli import cli\nbefore = gc.get_stats()[2]['collections']\n"
        "cli.get_command(None, 'status')\n"
        "print(gc.get_stats()[2]['collections'] - before, gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0 True\n"
