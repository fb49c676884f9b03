"""Building a site's Dagster definitions."""

from __future__ import annotations

import dagster as dg

from fits_dagster.orchestration.checks import build_check_sensor, build_checks
from fits_dagster.orchestration.flows import FLOWS, build_assets, build_graph
from fits_dagster.orchestration.housekeeping import build_housekeeping
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.orchestration.schedules import build_rescans
from fits_dagster.orchestration.sensors import build_sensors
from fits_dagster.settings import SiteName, load_settings

__all__ = ["build_definitions"]


def build_definitions(site: SiteName) -> dg.Definitions:
    """Build the assets, jobs, sensors and resources of a site. No database is needed for this."""
    settings = load_settings()
    assets = build_assets(site, build_graph(site, as_assets=True))
    resource = SiteResource(site=site)
    executor = dg.multiprocess_executor.configured(
        {
            # every stage of a run at once, each in a process of its own
            "max_concurrent": len(FLOWS[site].nodes),
            "start_method": {
                "forkserver": {
                    "preload_modules": ["fits_dagster.orchestration.preload", f"fits_dagster.{site}"]
                }
            },
            "step_dependency_config": {"require_upstream_step_success": False},
        }
    )
    tags = {
        "dagster/max_runtime": str(int(settings.work.max_run_seconds + settings.work.linger_seconds + 600))
    }
    night_job = dg.define_asset_job(
        f"{site}_night",
        selection=dg.AssetSelection.assets(*assets.keys).without_checks(),
        description=f"Work through what is due for one night at the {site}.",
        executor_def=executor,
        tags=tags,
    )
    nights_job = build_graph(site, as_assets=False).to_job(
        name=f"{site}_nights",
        description=f"Work through whatever is due at the {site}, of any night, in one run.",
        resource_defs={"site": resource},
        executor_def=executor,
        tags=tags,
    )
    return dg.Definitions(
        assets=[assets],
        asset_checks=[build_checks(site)],
        jobs=[night_job, nights_job],
        sensors=[*build_sensors(site, night_job, nights_job), build_check_sensor(site)],
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
        executor=executor,
    )
