"""``fits-dagster worker``: run what is sent to the queues of a site's stages, on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from fits_dagster.cli.options import home_option, sites_option
from fits_dagster.settings import Settings, SiteName, load_settings
from fits_dagster.startup import quick_imports

__all__ = ["worker"]

#: For monitoring and service managers: not to be started again before somebody has acted.
_REFUSED = 2


@click.command()
@sites_option(required=True, help="Site to work for; may be given more than once.")
@click.option("--stages", default="", help="Stages to work at, separated by commas.  [default: all]")
@click.option("--concurrency", type=click.IntRange(1), help="Most runs at once.  [default: settings]")
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for the broker.")
@home_option
def worker(sites: Sequence[SiteName], stages: str, concurrency: int | None, wait: float, home: Path) -> None:
    """Work for a site, on any machine that reaches its database, its broker and its store.

    `up` starts a worker of its own; more of them, here or elsewhere, share the work. SIGTERM lets the files
    in hand be finished and releases the rest.
    """
    with quick_imports():
        from fits_dagster.broker import BrokerError, wait_for_broker
        from fits_dagster.database.server import dagster_url, open_engine
        from fits_dagster.schema.migrate import SchemaVersionError, check_version

    # a worker of a running system gets the settings of the system
    settings = load_settings(None if "FITS_DAGSTER_EFFECTIVE_SETTINGS" in os.environ else home)
    os.environ.setdefault(
        "FITS_DAGSTER_DAGSTER_URL", dagster_url(settings).render_as_string(hide_password=False)
    )
    os.environ.setdefault("DAGSTER_HOME", str(settings.home / "dagster"))
    os.environ.setdefault("FITS_DAGSTER_HOME", str(settings.home))
    from fits_dagster.orchestration.queues import worker_queues

    wanted = [stage.strip() for stage in stages.split(",") if stage.strip()]
    try:
        worker_queues(settings, sites, wanted)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    for site in sites:
        engine = open_engine(settings, site, pool_size=1)
        try:
            check_version(engine)
        except SchemaVersionError as error:
            click.echo(f"fits-dagster worker: {site}: {error}", err=True)
            sys.exit(_REFUSED)
        finally:
            engine.dispose()
        _sweep(settings, site)
    try:
        wait_for_broker(settings, seconds=wait, tell=lambda what: click.echo(what, err=True))
    except BrokerError as error:
        click.echo(f"fits-dagster worker: {error}", err=True)
        sys.exit(_REFUSED)
    with quick_imports():
        from fits_dagster.orchestration.worker import run_worker
        from fits_dagster.system.home import ensure_dagster_home

    ensure_dagster_home(settings)
    sys.exit(run_worker(settings, sites, stages=wanted, processes=concurrency))


def _sweep(settings: Settings, site: SiteName) -> None:
    """Remove what processes that died have left in the directories of a site."""
    from fits_dagster.sites import opened_site
    from fits_dagster.upkeep.leftovers import sweep_leftovers

    try:
        with opened_site(settings, site) as opened:
            report = sweep_leftovers(opened, with_bucket=False)
    except OSError as error:
        click.echo(f"fits-dagster worker: {site}: leftovers were not looked for: {error}", err=True)
        return
    if count := len(report.temporary) + len(report.uploads):
        click.echo(f"fits-dagster worker: {site}: removed {count} leftovers of processes that died", err=True)
