"""The assets of a site, one per stage, partitioned by night; for each a job for a night and one for any.

A job has one op, so a run is one stage of one night, and takes one place in a worker. Who materializes
several assets at once, or a range of nights, gets them in one run, op after op.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from fits_dagster.ledger.stage import Stage
from fits_dagster.orchestration.partitions import SITE_TAG, STAGE_TAG, nights_from
from fits_dagster.orchestration.private import UnresolvedAssetJobDefinition
from fits_dagster.orchestration.queues import QUEUE_TAG, queue_name
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.orchestration.stage_run import stage_op
from fits_dagster.settings import Settings, SiteName
from fits_dagster.stages.registry import all_stages, stages_of

__all__ = ["Job", "StageAsset", "asset_key", "build_assets"]

#: A job of assets, or one of a graph.
Job = dg.JobDefinition | UnresolvedAssetJobDefinition

#: Starting a run costs as much as some hundred files.
_NIGHTS_PER_BACKFILL_RUN: Final = 100


@dataclass(frozen=True)
class StageAsset:
    """A stage's asset, and the jobs that sensors ask for."""

    stage: str
    asset: dg.AssetsDefinition
    night_job: Job
    any_night_job: Job


def asset_key(site: SiteName, stage: str) -> dg.AssetKey:
    """Return the key of what a stage makes."""
    return dg.AssetKey([site, all_stages()[stage].asset])


def build_assets(site: SiteName, settings: Settings) -> Sequence[StageAsset]:
    """Make the assets of a site with their jobs, in the order in which a file meets the stages."""
    resource = SiteResource(site=site)
    built = []
    for stage in stages_of(settings.site(site)):
        key, upstream = asset_key(site, stage.name), _upstream(site, stage, settings)
        op = stage_op(stage, key, list(upstream))
        asset = dg.AssetsDefinition.from_op(
            op,
            keys_by_input_name=upstream,
            keys_by_output_name={stage.asset: key},
            partitions_def=nights_from(settings.work.first_night),
            group_name=site,
            descriptions_by_output_name={stage.asset: stage.asset_description},
            backfill_policy=dg.BackfillPolicy.multi_run(_NIGHTS_PER_BACKFILL_RUN),
        ).map_asset_specs(lambda spec: spec.replace_attributes(owners=["team:data-engineers"]))
        tags = {
            SITE_TAG: site,
            STAGE_TAG: stage.name,
            QUEUE_TAG: queue_name(settings, site, stage.name),
            "dagster/max_runtime": str(
                int(settings.work.max_run_seconds + settings.work.linger_seconds + 600)
            ),
        }
        built.append(
            StageAsset(
                stage.name,
                asset,
                dg.define_asset_job(
                    f"{site}_{stage.name}",
                    selection=dg.AssetSelection.assets(key).without_checks(),
                    description=f"{type(stage).__doc__} Works through what is due for one night.",
                    tags=tags,
                ),
                dg.GraphDefinition(
                    name=f"{site}_{stage.name}_any_night",
                    node_defs=[op],
                ).to_job(
                    description=f"{type(stage).__doc__} Works through whatever is due, of any night.",
                    resource_defs={"site": resource},
                    executor_def=dg.in_process_executor,
                    tags=tags,
                ),
            )
        )
    return built


def _upstream(site: SiteName, stage: Stage[Any], settings: Settings) -> Mapping[str, dg.AssetKey]:
    """Return the assets that a stage's asset follows from, by the name of the op's input."""
    before = [each for each in stages_of(settings.site(site)) if each.name in stage.after]
    passed = {name for each in before for name in each.after}
    keys = [asset_key(site, each.name) for each in before if each.name not in passed]
    if stage.sent_by is not None:
        keys += [
            asset_key(other, stage.sent_by)
            for other in settings.sites
            if other != site and stage.sent_by in {each.name for each in stages_of(settings.site(other))}
        ]
    return {"after_" + "_".join(key.path): key for key in keys}
