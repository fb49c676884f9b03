"""``fits-dagster backup`` and ``restore``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from fits_dagster.cli.options import home_option, sites_option
from fits_dagster.settings import SiteName, load_settings

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["backup", "restore"]


_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


def _past(context: click.Context, parameter: click.Parameter, value: datetime | None) -> datetime | None:
    """Take a moment as UTC; refuse one to come."""
    moment = value and value.replace(tzinfo=UTC)
    if moment and moment > datetime.now(UTC):
        raise click.BadParameter(f"{moment:%Y-%m-%d %H:%M:%S} UTC has not come yet")
    return moment


@click.command()
@click.option(
    "--to",
    "place",
    metavar="PLACE",
    default="",
    help="Directory of the backups, or s3://bucket/path.  [default: the setting backups, or HOME/backups]",
)
@click.option("--keep", type=click.IntRange(min=1), help="Delete all but the newest N of each site.")
@click.option("--verify", "verified", is_flag=True, help="Restore each into a scratch database, and compare.")
@click.option(
    "--as-of",
    callback=_past,
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"]),
    help="A past moment, UTC: from a base backup and the log that your PostgreSQL archived.",
)
@click.option("--base", type=_DIRECTORY, help="Base backup that ended before that moment (pg_basebackup).")
@click.option("--log", type=_DIRECTORY, help="Where the server archives its log.")
@click.option("--list", "only_list", is_flag=True, help="Only list the backups that are there.")
@sites_option(required=False, help="Which site.  [default: all that run here]")
@home_option
def backup(
    place: str,
    keep: int | None,
    verified: bool,
    as_of: datetime | None,
    base: Path | None,
    log: Path | None,
    only_list: bool,
    sites: Sequence[SiteName],
    home: Path,
) -> None:
    """Back up the databases of the sites, while they are at work.

    What the store holds is not in it: files are in the store, and previews and associations follow from them.
    With --as-of it is the databases as they were at a past moment, for the restore command to put back.
    """
    from fits_dagster.backup.dump import make_backup, verify
    from fits_dagster.backup.places import open_place

    settings = load_settings(home)
    kept = open_place(settings, place)
    if only_list:
        for found in kept.kept():
            described = kept.described(found)
            size = found.size / 1e6
            click.echo(f"{found.address}  {described.rows} rows  {size:.1f} MB  schema {described.schema}")
        return
    with _server(as_of, base, log) as server:
        for site in sites or settings.sites:
            with kept.workshop() as workshop:
                made = make_backup(settings, site, workshop, server=server, moment=as_of)
                if verified:
                    verify(settings, made)
                address = kept.keep(made).address
            click.echo(f"{address}: {made.rows} rows of {len(made.tables)} tables")
            if verified:
                click.echo(f"{address}: restored into a scratch database, every table is the same")
            if keep is not None:
                for old in kept.delete_old(site, keep):
                    click.echo(f"{old.address}: deleted")


@contextmanager
def _server(as_of: datetime | None, base: Path | None, log: Path | None) -> Iterator[URL | None]:
    """Run a server with the databases of a past moment where one is asked for; None means the usual one."""
    if len({as_of is None, base is None, log is None}) > 1:
        raise click.UsageError("--as-of, --base and --log go together")
    if as_of is None or base is None or log is None:
        yield None
        return
    from fits_dagster.backup.past import server_as_of

    with ExitStack() as stack:
        with Console(stderr=True).status("a copy of the base backup") as status:

            def tell(seconds: float) -> None:
                status.update(f"bringing it forward to {as_of:%Y-%m-%d %H:%M:%S} UTC: {seconds:.0f} s")

            url = stack.enter_context(server_as_of(base, log, as_of, tell=tell))
        yield url


@click.command()
@click.argument("dump")
@click.option("--dry-run", is_flag=True, help="Only say what would be restored.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
def restore(dump: str, dry_run: bool, yes: bool, home: Path) -> None:
    """Put a backup in the place of its site's database. The system must not be running.

    DUMP is a file, or its address in S3, as --list tells it. The database that is there is renamed, not
    deleted. A backup of an older version is brought up to date.
    """
    from fits_dagster.backup.places import find_backup
    from fits_dagster.backup.restore import restore as put_back
    from fits_dagster.database.server import start_embedded_server, stop_embedded_server
    from fits_dagster.system.home import read_running

    settings = load_settings(home)
    place, chosen = find_backup(settings, dump)
    rows = place.described(chosen).rows
    click.echo(f"{chosen.site} as of {chosen.made_at:%Y-%m-%d %H:%M:%S} UTC: {rows} rows")
    if dry_run:
        return
    if read_running(settings) is not None:
        raise click.UsageError(f"a system is running on {home}: stop it first")
    if not yes and not click.confirm(f"Replace the database of {chosen.site}?"):
        sys.exit(1)
    embedded = not (settings.database_url or settings.site(chosen.site).database_url)
    if embedded:
        start_embedded_server(settings)
    try:
        with place.fetched(chosen) as fetched:
            done = put_back(settings, chosen.site, fetched)
    finally:
        if embedded:
            stop_embedded_server(settings)
    aside = f"; what was there is the database {done.put_aside}" if done.put_aside else ""
    click.echo(f"{chosen.site}: {done.rows} rows restored{aside}")
