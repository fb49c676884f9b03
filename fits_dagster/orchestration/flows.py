"""The assets of a site: one graph whose ops are the stages, one asset per stage, partitioned by night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import dagster as dg

from fits_dagster.dataflow.stages import SITE_STAGES
from fits_dagster.orchestration.ops import stage_op
from fits_dagster.orchestration.partitions import NIGHTS
from fits_dagster.settings import SiteName

__all__ = ["FLOWS", "Flow", "build_assets", "build_graph"]

#: Starting a run costs as much as some hundred files.
_NIGHTS_PER_BACKFILL_RUN = 100


@dataclass(frozen=True)
class AssetNode:
    """What a stage makes."""

    name: str
    description: str
    #: Assets of this site that it follows from.
    upstream: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flow:
    """The assets of a site, by stage."""

    site: SiteName
    nodes: Mapping[str, AssetNode]
    #: Asset of the other site from which the first one follows.
    arrives_from: dg.AssetKey | None = None

    def key(self, asset: str) -> dg.AssetKey:
        """Return the key of an asset of this site."""
        return dg.AssetKey([self.site, asset])


FLOWS: Mapping[SiteName, Flow] = {
    "summit": Flow(
        "summit",
        {
            "copy": AssetNode(
                "dataflow_files",
                "Files of the night in the dataflow directory: copied from the DHS, whole, verified.",
            ),
            "edit": AssetNode(
                "header_updates",
                "Header edits of the night's files that were applied.",
                ("dataflow_files",),
            ),
            "ingest": AssetNode(
                "observations",
                "Records of the night's files in the summit database: a version and a header record each.",
                # not of dataflow_files besides: Dagster refuses backfills of a graph with such a diamond
                ("header_updates",),
            ),
            "export": AssetNode(
                "exports",
                "Files of the night that the archive holds with the same MD5.",
                ("observations",),
            ),
        },
    ),
    "archive": Flow(
        "archive",
        {
            "store": AssetNode(
                "stored_files",
                "Files of the night in the archive's object store, with their MD5 as metadata.",
            ),
            "ingest": AssetNode(
                "observations",
                "Records of the night's files in the archive database.",
                ("stored_files",),
            ),
            "preview": AssetNode(
                "previews", "One JPEG per file of the night that has an image.", ("observations",)
            ),
            "associate": AssetNode(
                "calibration_associations",
                "For each file of the night and each calibration type it needs: the best ones, in order.",
                ("observations",),
            ),
        },
        arrives_from=dg.AssetKey(["summit", "exports"]),
    ),
}

#: Input of an archive's graph that stands for what the other site has sent.
_ARRIVAL = "arrival"


@cache
def _ops(site: SiteName) -> Sequence[dg.OpDefinition]:
    """Make the ops of a site once; all its graphs share them."""
    flow, stages = FLOWS[site], SITE_STAGES[site]
    return [
        stage_op(stage, flow.key(flow.nodes[stage.name].name), first=stage is stages[0]) for stage in stages
    ]


def build_graph(site: SiteName, *, as_assets: bool) -> dg.GraphDefinition:
    """Build the graph of a site: its stages, side by side from the moment that the first is at work.

    A file meets them in order, through the queues; a stage need not wait until the one before has ended.

    Parameters
    ----------
    as_assets
        With an input for the asset of the other site that the first stage follows from.
    """
    flow = FLOWS[site]
    stages = SITE_STAGES[site]
    dependencies: dict[Any, dict[str, Any]] = {
        stage.name: {"after": dg.DependencyDefinition(stages[0].name, "started")} for stage in stages[1:]
    }
    return dg.GraphDefinition(
        name=f"{site}_flow" if as_assets else f"{site}_flow_of_several_nights",
        description=f"The dataflow of the {site}, for the files of a night.",
        node_defs=list(_ops(site)),
        dependencies=dependencies,
        output_mappings=[
            dg.OutputMapping(
                graph_output_name=flow.nodes[stage.name].name,
                mapped_node_name=stage.name,
                mapped_node_output_name=flow.nodes[stage.name].name,
            )
            for stage in stages
        ],
        input_mappings=[
            dg.InputMapping(
                graph_input_name=_ARRIVAL, mapped_node_name=stages[0].name, mapped_node_input_name="after"
            )
        ]
        if as_assets and flow.arrives_from is not None
        else [],
    )


def build_assets(site: SiteName, graph: dg.GraphDefinition) -> dg.AssetsDefinition:
    """Make the night-partitioned assets of a site from its graph."""
    flow = FLOWS[site]
    nodes = flow.nodes.values()

    def upstream(node: AssetNode) -> set[dg.AssetKey]:
        own = {flow.key(name) for name in node.upstream}
        return own or ({flow.arrives_from} if flow.arrives_from is not None else set())

    return dg.AssetsDefinition.from_graph(
        graph,
        keys_by_input_name={_ARRIVAL: flow.arrives_from} if flow.arrives_from is not None else {},
        keys_by_output_name={node.name: flow.key(node.name) for node in nodes},
        internal_asset_deps={node.name: upstream(node) for node in nodes},
        partitions_def=NIGHTS,
        group_name=site,
        descriptions_by_output_name={node.name: node.description for node in nodes},
        owners_by_output_name={node.name: ["team:data-engineers"] for node in nodes},
        backfill_policy=dg.BackfillPolicy.multi_run(_NIGHTS_PER_BACKFILL_RUN),
    )
