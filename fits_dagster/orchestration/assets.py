"""The assets of a site, one per stage, partitioned by night; for each a job for a night and one for any.

A job has one op, so a run is one stage of one night, and takes one place in a worker. Who materializes
several assets at once, or a range of nights, gets them in one run, op after op.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from fits_dagster.orchestration.partitions import NIGHTS, SITE_TAG, STAGE_TAG
from fits_dagster.orchestration.queues import QUEUE_TAG, queue_name
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.orchestration.stage_run import stage_op
from fits_dagster.settings import Settings, SiteName
from fits_dagster.stages.registry import SITE_STAGES

__all__ = ["Job", "StageAsset", "asset_key", "build_assets"]

#: A job of assets, or one of a graph.
Job = dg.JobDefinition | UnresolvedAssetJobDefinition

#: Starting a run costs as much as some hundred files.
_NIGHTS_PER_BACKFILL_RUN: Final = 100


@dataclass(frozen=True)
class _Made:
    """What a stage makes, and the asset that it follows from."""

    name: str
    description: str
    upstream: tuple[str, str] | None = None


_MADE: Final[Mapping[SiteName, Mapping[str, _Made]]] = {
    "summit": {
        "copy": _Made(
            "dataflow_files",
            "Files of the night in the dataflow directory: copied from the DHS, whole, verified.",
        ),
        "edit": _Made(
            "header_updates",
            "Header edits of the night's files that were applied.",
            ("summit", "dataflow_files"),
        ),
        "ingest": _Made(
            "observations",
            "Records of the night's files in the summit database: a version and a header record each.",
            ("summit", "header_updates"),
        ),
        "export": _Made(
            "exports",
            "Files of the night that the archive holds with the same MD5.",
            ("summit", "observations"),
        ),
    },
    "archive": {
        "store": _Made(
            "stored_files",
            "Files of the night in the archive's object store, with their MD5 as metadata.",
            ("summit", "exports"),
        ),
        "ingest": _Made(
            "observations",
            "Records of the night's files in the archive database.",
            ("archive", "stored_files"),
        ),
        "preview": _Made(
            "previews", "One JPEG per file of the night that has an image.", ("archive", "observations")
        ),
        "associate": _Made(
            "calibration_associations",
            "For each file of the night and each calibration type it needs: the best ones, in order.",
            ("archive", "observations"),
        ),
    },
}


@dataclass(frozen=True)
class StageAsset:
    """A stage's asset, and the jobs that sensors ask for."""

    stage: str
    asset: dg.AssetsDefinition
    night_job: Job
    any_night_job: Job


def asset_key(site: SiteName, stage: str) -> dg.AssetKey:
    """Return the key of what a stage makes."""
    return dg.AssetKey([site, _MADE[site][stage].name])


def build_assets(site: SiteName, settings: Settings) -> Sequence[StageAsset]:
    """Make the assets of a site with their jobs, in the order in which a file meets the stages."""
    resource = SiteResource(site=site)
    built = []
    for stage in SITE_STAGES[site]:
        made, key = _MADE[site][stage.name], asset_key(site, stage.name)
        op = stage_op(stage, key, follows=made.upstream is not None)
        asset = dg.AssetsDefinition.from_op(
            op,
            keys_by_input_name={"after": dg.AssetKey(made.upstream)} if made.upstream else {},
            keys_by_output_name={made.name: key},
            partitions_def=NIGHTS,
            group_name=site,
            descriptions_by_output_name={made.name: made.description},
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
