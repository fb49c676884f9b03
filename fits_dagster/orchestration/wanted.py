"""Which runs are wanted: for what is due and no run is at, and for what it will need next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

from fits_dagster.ledger.pending import DueWork
from fits_dagster.orchestration.assets import StageAsset, asset_key
from fits_dagster.orchestration.partitions import (
    NIGHT_TAG,
    SITE_TAG,
    UNIT_TAG,
    Unit,
    age_s,
    is_live,
    is_partition,
)
from fits_dagster.sites import Site
from fits_dagster.stages.registry import stages_of

__all__ = ["RunsInProgress", "background_runs", "runs_for", "runs_in_progress"]

#: A backlog gets a further run for each so many files.
_FILES_PER_RUN: Final = 50
#: A run that is well takes what is due within a second.
_TOO_LONG_S: Final = 8.0
_PARTITION_TAG: Final = "dagster/partition"
_FIRST_TAG, _LAST_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_PRIORITY_TAG: Final = "dagster/priority"
#: Runs of files that come now are started before those of a backfill that were asked for earlier.
_LIVE_PRIORITY, _BACKGROUND_PRIORITY = "10", "-10"
_IN_PROGRESS: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_MOST: Final = 1000
#: A run is submitted within moments of being made, seconds.
_SUBMITTED_S: Final = 120.0


@dataclass
class RunsInProgress:
    """What the runs of a site work on, or are about to."""

    units: set[Unit] = field(default_factory=set)
    #: By stage, first and last night of what a person asked for.
    by_hand: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    #: Those that were launched and that no process has begun.
    starting: list[dg.RunRecord] = field(default_factory=list)
    #: Those that were made and, long ago, not submitted: the daemon was broken off between the two.
    left_behind: list[dg.DagsterRun] = field(default_factory=list)

    def has(self, site: str, stage: str, scope: str, share: int = 1) -> bool:
        """Tell whether a run works on this, or on whatever is due."""
        if Unit(site, stage, scope, share) in self.units:
            return True
        old = scope not in (Unit.ANY, Unit.BACKGROUND) and not is_live(scope)
        return old and Unit(site, stage, Unit.ANY) in self.units

    def makes_again(self, stage: str, night: str) -> bool:
        """Tell whether a run that a person asked for does the background work of a night."""
        return any(first <= night <= last for first, last in self.by_hand.get(stage, ()))


def runs_in_progress(instance: dg.DagsterInstance, site: Site) -> RunsInProgress:
    """Ask Dagster for the runs of a site that have not ended."""
    found = RunsInProgress()
    stages = {asset_key(site.name, stage.name): stage.name for stage in stages_of(site.settings)}
    for record in instance.get_run_records(dg.RunsFilter(statuses=_IN_PROGRESS), limit=_MOST):
        run = record.dagster_run
        # not by the filter: a run and its tags are written one after the other, and a daemon that is killed
        # between the two leaves a run that no filter finds; the run itself knows its tags
        if run.tags.get(SITE_TAG) != site.name:
            continue
        if run.status is dg.DagsterRunStatus.STARTING:
            found.starting.append(record)
        elif run.status is dg.DagsterRunStatus.NOT_STARTED and age_s(record.create_timestamp) > _SUBMITTED_S:
            found.left_behind.append(run)
            continue
        if (unit := Unit.parse(run.tags.get(UNIT_TAG, ""))) is not None:
            found.units.add(unit)
            continue
        night = run.tags.get(_PARTITION_TAG)
        first, last = run.tags.get(_FIRST_TAG, night), run.tags.get(_LAST_TAG, night)
        if first is not None and last is not None:
            for key in run.asset_selection or ():
                if key in stages:
                    found.by_hand.setdefault(stages[key], []).append((first, last))
    return found


def runs_for(
    site: Site, assets: Mapping[str, StageAsset], due: Sequence[DueWork], busy: RunsInProgress
) -> Iterator[dg.RunRequest]:
    """Ask for runs of what is due: one a stage and night for nights that are on or few, else one for all.

    A long backlog gets more than one, up to the number that the settings name for its stage. Files of nights
    that are on wake the stages behind theirs as well: they will need them in a moment.
    """
    old = {work.night for work in due if not is_live(work.night)}
    few = len(old) <= site.work.nights_with_own_run
    together: list[DueWork] = []
    for work in due:
        if is_partition(site.work, work.night) and (is_live(work.night) or few):
            yield from _shared(site, assets[work.stage], work.night, [work], busy)
        else:
            together.append(work)
    for stage in dict.fromkeys(work.stage for work in together):
        yield from _shared(site, assets[stage], Unit.ANY, [w for w in together if w.stage == stage], busy)
    yield from _woken(site, assets, due, busy)


def background_runs(
    site: Site, assets: Mapping[str, StageAsset], due: Sequence[DueWork], busy: RunsInProgress
) -> Iterator[dg.RunRequest]:
    """Ask for runs of the work of low priority that no run of a backfill is at."""
    left = [work for work in due if not busy.makes_again(work.stage, work.night)]
    for stage in dict.fromkeys(work.stage for work in left):
        of_stage = [work for work in left if work.stage == stage]
        yield from _shared(site, assets[stage], Unit.BACKGROUND, of_stage, busy)


def _woken(
    site: Site, assets: Mapping[str, StageAsset], due: Sequence[DueWork], busy: RunsInProgress
) -> Iterator[dg.RunRequest]:
    """Ask for runs of the stages that files of live nights will meet next, the ones needed first, first."""
    stages = [stage for stage in stages_of(site.settings) if stage.is_on_the_way(site)]
    for night in dict.fromkeys(
        work.night for work in due if is_live(work.night) and is_partition(site.work, work.night)
    ):
        at = {work.stage for work in due if work.night == night}
        reached = False
        for stage in stages:
            reached |= stage.name in at
            if reached and stage.name not in at and not busy.has(site.name, stage.name, night):
                yield _request(site, assets[stage.name], night, 1)


def _shared(
    site: Site, asset: StageAsset, scope: str, due: Sequence[DueWork], busy: RunsInProgress
) -> Iterator[dg.RunRequest]:
    count = sum(work.count for work in due)
    most = min(site.work.most_runs(asset.stage), 1 + count // _FILES_PER_RUN)
    waits_long = scope != Unit.BACKGROUND and max(work.waited_s for work in due) > _TOO_LONG_S
    if most == 1 and waits_long and busy.has(site.name, asset.stage, scope):
        # there is a run, and it does not take what little there is: it may be cut off, or dead
        most = 2
    for share in range(1, most + 1):
        if not busy.has(site.name, asset.stage, scope, share):
            yield _request(site, asset, scope, share)


def _request(site: Site, asset: StageAsset, scope: str, share: int) -> dg.RunRequest:
    tags = {SITE_TAG: site.name, UNIT_TAG: str(Unit(site.name, asset.stage, scope, share))}
    if scope in (Unit.ANY, Unit.BACKGROUND):
        if scope == Unit.BACKGROUND:
            tags[_PRIORITY_TAG] = _BACKGROUND_PRIORITY
        return dg.RunRequest(job_name=asset.any_night_job.name, tags=tags)
    tags |= {NIGHT_TAG: scope, _PRIORITY_TAG: _LIVE_PRIORITY if is_live(scope) else "0"}
    return dg.RunRequest(job_name=asset.night_job.name, partition_key=scope, tags=tags)
