"""Which stages there are, which of them a site has, and in which order a file meets them.

Stages are found by the entry point group ``fits_dagster.stages``: those of this package stand in its own
``pyproject.toml``, others come from any package that is installed beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from fits_dagster.ledger.stage import Stage
from fits_dagster.settings import SiteSettings

__all__ = [
    "ENTRY_POINT_GROUP",
    "all_stages",
    "arrivals",
    "find_stage",
    "followers",
    "sources_of",
    "stages_of",
    "way_to",
]

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "fits_dagster.stages"


@cache
def all_stages() -> Mapping[str, Stage[Any]]:
    """Return every stage by name, in the order in which a file meets them."""
    found: dict[str, Stage[Any]] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=_is_plug_in):
        try:
            stage = point.load()
            _require_unique(stage, found.values())
        except Exception:
            if not _is_plug_in(point):
                raise
            # a broken plug-in must not stop the stages of this package
            log.exception("stage plug-in %s (%s) is left out: it cannot be loaded", point.name, point.value)
            continue
        found[stage.name] = stage
    by_rank = sorted(found.values(), key=lambda stage: (stage.rank, stage.name))
    sorter = TopologicalSorter({stage.name: stage.after for stage in by_rank})
    return {name: found[name] for name in sorter.static_order() if name in found}


def _is_plug_in(point: EntryPoint) -> bool:
    return not point.value.startswith("fits_dagster.")


def _require_unique(stage: Stage[Any], others: Iterable[Stage[Any]]) -> None:
    for other in others:
        for what in ("name", "tab", "asset"):
            if getattr(stage, what) == getattr(other, what):
                raise ValueError(f"stages {stage.name} and {other.name} have the same {what}")


def find_stage(site: SiteSettings, name: str) -> Stage[Any] | None:
    """Return a stage of a site by its name."""
    return next((stage for stage in stages_of(site) if stage.name == name), None)


def stages_of(site: SiteSettings) -> Sequence[Stage[Any]]:
    """Return the stages that a site has, in the order in which a file meets them."""
    return [stage for stage in all_stages().values() if stage.is_part_of(site)]


def followers(site: SiteSettings, name: str) -> Sequence[Stage[Any]]:
    """Return the stages of a site to which a file goes on from a stage."""
    return [stage for stage in stages_of(site) if name in stage.after]


def sources_of(site: SiteSettings) -> Sequence[Stage[Any]]:
    """Return the stages of a site by which files come in."""
    return [stage for stage in stages_of(site) if stage.takes_in]


def arrivals(site: SiteSettings) -> Sequence[Stage[Any]]:
    """Return the stages of a site behind which a file has arrived somewhere, first in its own database."""
    return [stage for stage in stages_of(site) if stage.is_arrival]


def way_to(stages: Sequence[Stage[Any]], last: Stage[Any]) -> Sequence[Stage[Any]]:
    """Return those of some stages, in order, that a file may meet up to one of them, and that one."""
    wanted = {last.name}
    for stage in reversed(stages):
        if stage.name in wanted:
            wanted.update(stage.after)
    return [stage for stage in stages if stage.name in wanted]
