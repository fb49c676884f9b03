"""Which stages there are, which of them a site has, and in which order a file meets them.

Stages are found by the entry point group ``fits_dagster.stages``: those of this package stand in its own
``pyproject.toml``, others come from any package that is installed beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import entry_points
from typing import Any, Final

from fits_dagster.ledger.stage import Stage
from fits_dagster.settings import SiteSettings

__all__ = ["ENTRY_POINT_GROUP", "all_stages", "followers", "stages_of"]

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "fits_dagster.stages"


@cache
def all_stages() -> Mapping[str, Stage[Any]]:
    """Return every stage by name, in the order in which a file meets them."""
    found: dict[str, Stage[Any]] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            stage = point.load()
        except Exception:
            if point.value.startswith("fits_dagster."):
                raise
            # a broken plug-in must not stop the stages of this package
            log.exception("stage plug-in %s cannot be loaded", point.name)
            continue
        found[stage.name] = stage
    by_rank = sorted(found.values(), key=lambda stage: (stage.rank, stage.name))
    sorter = TopologicalSorter({stage.name: stage.after for stage in by_rank})
    return {name: found[name] for name in sorter.static_order() if name in found}


def stages_of(site: SiteSettings) -> Sequence[Stage[Any]]:
    """Return the stages that a site has, in the order in which a file meets them."""
    return [stage for stage in all_stages().values() if stage.is_part_of(site)]


def followers(site: SiteSettings, name: str) -> Sequence[Stage[Any]]:
    """Return the stages of a site to which a file goes on from a stage."""
    return [stage for stage in stages_of(site) if name in stage.after]
