"""Building a site's Dagster definitions."""

from __future__ import annotations

import dagster as dg

from fits_dagster.orchestration.assets import build_assets
from fits_dagster.orchestration.checks import build_check_sensor, build_checks
from fits_dagster.orchestration.housekeeping import build_housekeeping
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.orchestration.schedules import build_rescans
from fits_dagster.orchestration.sensors import build_sensors
from fits_dagster.settings import SiteName, load_settings

__all__ = ["build_definitions"]


def build_definitions(site: SiteName) -> dg.Definitions:
    """Build the assets, jobs, sensors and resources of a site. No database is needed for this."""
    settings = load_settings()
    assets = build_assets(site, settings)
    resource = SiteResource(site=site)
    return dg.Definitions(
        assets=[each.asset for each in assets],
        asset_checks=[build_checks(site)],
        jobs=[job for each in assets for job in (each.night_job, each.any_night_job)],
        sensors=[*build_sensors(site, assets), build_check_sensor(site)],
        schedules=[
            *build_rescans(site, settings.site(site)),
            *build_housekeeping(
                site,
                settings.site(site),
                keep_runs_days=settings.keep_runs_days,
                keep_events_days=settings.keep_events_days,
            ),
        ],
        resources={"site": resource, "site_resource": resource},
        executor=dg.in_process_executor,
    )
