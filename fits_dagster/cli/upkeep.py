"""``fits-dagster upkeep``: what keeps a site tidy, by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from fits_dagster.cli.options import home_option, person_at_the_keyboard, site_option
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.sites import opened_site

__all__ = ["upkeep"]

_MANY = 2000


@click.group()
def upkeep() -> None:
    """Roll-call, removal of what the archive holds, leftovers, orphans, pruning, vacuum."""


@upkeep.command("roll-call")
@click.option("--limit", type=click.IntRange(1), help="Go on where the last call ended, with so many files.")
@click.option("--checkmd5", "check_md5", is_flag=True, help="Read every file and compare its MD5.")
@click.option("--dry-run", is_flag=True, help="Change nothing.")
@site_option("archive")
@home_option
def roll_call(limit: int | None, check_md5: bool, dry_run: bool, site: SiteName, home: Path) -> None:
    """Mark files as not present that the store does not have. Exits with 1 if one is missing or altered."""
    from fits_dagster.upkeep.roll_call import roll_call as call

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with opened_site(load_settings(home), site) as opened, Progress(*columns, transient=True) as progress:
        task = progress.add_task("files called", total=limit)
        report = call(
            opened,
            limit=limit,
            check_md5=check_md5,
            dry_run=dry_run,
            on_batch=lambda count: progress.update(task, completed=count),
        )
    for key in report.missing:
        click.echo(f"missing: {key}")
    for key in report.altered:
        click.echo(f"altered: {key}")
    click.echo(f"{report.called} called, {len(report.missing)} missing, {len(report.altered)} altered")
    sys.exit(1 if report.missing or report.altered else 0)


@upkeep.command("remove-files")
@click.option("--path", help="Directory in the store; default: all of them.")
@click.option("--file-re", help="Regular expression searched in the names, or a word for some days.")
@click.option("--olderthan", "older_than_days", type=float, default=0.0, help="Changed so many days ago.")
@click.option("--maxnum", "most_files", type=click.IntRange(1), help="At most so many.")
@click.option("--maxgbs", "most_gb", type=float, help="At most so much.")
@click.option("--target-files", type=click.IntRange(0), help="Until no more are present.")
@click.option("--target-free-gb", type=float, help="Until so much space is free.")
@click.option(
    "--skip-md5", is_flag=True, help="Do not read the files here; destinations are asked all the same."
)
@click.option("--yes", is_flag=True, help="Remove them; without this only say which.")
@click.option("--yesimsure", is_flag=True, help=f"Remove more than {_MANY} files.")
@site_option("summit")
@home_option
def remove_files(
    path: str | None,
    file_re: str | None,
    older_than_days: float,
    most_files: int | None,
    most_gb: float | None,
    target_files: int | None,
    target_free_gb: float | None,
    skip_md5: bool,
    yes: bool,
    yesimsure: bool,
    site: SiteName,
    home: Path,
) -> None:
    """Remove the oldest files of the dataflow directory that every destination holds.

    A file goes only if it is on no queue, its bytes are those that were ingested, and each destination has a
    present version with the same content.
    """
    from fits_dagster.destinations.base import DestinationDownError
    from fits_dagster.upkeep.removal import RemovalRequest
    from fits_dagster.upkeep.removal import remove_files as remove

    request = RemovalRequest(
        path=path,
        file_re=file_re,
        older_than_days=older_than_days,
        most_files=most_files if yesimsure else min(most_files or _MANY, _MANY),
        most_gb=most_gb,
        target_files=target_files,
        target_free_gb=target_free_gb,
        check_md5=not skip_md5,
    )
    with opened_site(load_settings(home), site) as opened:
        try:
            report = remove(
                opened, request, who=person_at_the_keyboard(), dry_run=not yes, on_file=click.echo
            )
        except (DestinationDownError, ValueError) as error:
            raise click.ClickException(str(error)) from error
    for reason, keys in sorted(report.kept.items()):
        click.echo(f"{len(keys)} kept: {reason}: {', '.join(keys[:5])}{' …' if len(keys) > 5 else ''}")
    word = "removed" if yes else "would be removed (--yes does it)"
    click.echo(f"{len(report.removed)} files, {report.bytes / 1024**3:.3f} GB {word}")


@upkeep.command()
@click.option("--dry-run", is_flag=True, help="Remove nothing.")
@site_option("archive")
@home_option
def leftovers(dry_run: bool, site: SiteName, home: Path) -> None:
    """Remove what processes that died have left behind, and rotate the outputs of programs."""
    from fits_dagster.logs import rotate_outputs
    from fits_dagster.upkeep.leftovers import sweep_leftovers

    settings = load_settings(home)
    with opened_site(settings, site) as opened:
        report = sweep_leftovers(opened, dry_run=dry_run)
    for name in (*report.temporary, *report.uploads, *report.unfinished):
        click.echo(name)
    for path in () if dry_run else rotate_outputs(settings):
        click.echo(f"rotated {path}")
    word = "would be removed" if dry_run else "removed"
    click.echo(
        f"{len(report.temporary)} temporary files, {len(report.uploads)} uploads without a row, "
        f"{len(report.unfinished)} unfinished puts {word}, {report.bytes / 1e9:.3f} GB"
    )


@upkeep.command()
@site_option("archive")
@home_option
def orphans(site: SiteName, home: Path) -> None:
    """Tell which stored data no row of the database knows. Exits with 1 if there are any."""
    from fits_dagster.upkeep.leftovers import find_orphans

    with opened_site(load_settings(home), site) as opened:
        found = find_orphans(opened)
    for key in found:
        click.echo(key)
    sys.exit(1 if found else 0)


@upkeep.command()
@site_option("archive")
@home_option
def prune(site: SiteName, home: Path) -> None:
    """Delete old histories, sessions and the like."""
    from fits_dagster.upkeep.pruning import prune_records

    settings = load_settings(home)
    with opened_site(settings, site) as opened:
        for table, count in prune_records(opened, settings.keep_events_days).items():
            click.echo(f"{table}: {count}")


@upkeep.command()
@site_option("archive")
@home_option
def vacuum(site: SiteName, home: Path) -> None:
    """Vacuum the database, and analyse the tables of which more than a fiftieth has changed."""
    from fits_dagster.upkeep.pruning import vacuum as run_vacuum

    with opened_site(load_settings(home), site) as opened:
        analysed = run_vacuum(opened)
    click.echo(f"{site}: done, {len(analysed)} tables analysed")
