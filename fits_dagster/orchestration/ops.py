"""Ops: one per stage. Each drains its stage's queue for the nights of its run."""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from fits_dagster.database.management import retry_failed
from fits_dagster.dataflow import copy
from fits_dagster.dataflow.drain import drain
from fits_dagster.dataflow.heartbeat import show_heartbeat
from fits_dagster.dataflow.outcomes import DrainReport
from fits_dagster.dataflow.pending import has_work_in_hand
from fits_dagster.dataflow.reingest import queue_nights
from fits_dagster.dataflow.site import Site
from fits_dagster.dataflow.stage import Stage
from fits_dagster.dataflow.stages import SITE_STAGES
from fits_dagster.orchestration.partitions import (
    NIGHT_TAG,
    SITE_TAG,
    STAGE_TAG,
    UNIT_TAG,
    background_unit,
    is_live,
    nights_of_run,
    tonight,
)
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.orchestration.telling import failure, listed, night_figures, run_figures, tell_nights

__all__ = ["stage_op"]

_SCAN_EVERY_S = 1.0
_LINGER_OLD_S = 8.0
#: Runs of background work leave the processors to everybody else.
_BACKGROUND_NICENESS = 15

#: What a person may choose who materializes nights, one or a range of them.
_REINGEST_OPTIONS = {
    "force": dg.Field(
        bool,
        default_value=False,
        description="Make new versions of all files of the nights, even of unchanged content.",
    ),
    "force_md5": dg.Field(
        bool,
        default_value=False,
        description="Compare all files of the nights by MD5, not only by size and time.",
    ),
}
#: The same as tags of a run or a backfill.
_OPTION_TAG = "fits_dagster/"


def stage_op(stage: Stage[Any], asset_key: dg.AssetKey, *, first: bool) -> dg.OpDefinition:
    """Make the op of a stage.

    The first one says ``started`` before it works, so that the stages of a run work side by side: a file goes
    on to the next stage while its neighbours are still in this one.

    A run that a person asks for, for one night or a range of them, re-ingests these nights: its first op
    queues their files as background work, and the run does that work and no other.
    """
    asset = asset_key.path[-1]
    outs = {asset: dg.Out(dg.Nothing, description=f"The night's {asset}, as far as they are known.")}
    if first:
        outs["started"] = dg.Out(dg.Nothing, description="The run is at work; the other stages may begin.")

    @dg.op(
        name=stage.name,
        description=f"{type(stage).__doc__} Works through the night's queue, file by file.",
        ins={"after": dg.In(dg.Nothing)},
        out=outs,
        tags={STAGE_TAG: stage.name},
        config_schema=_REINGEST_OPTIONS if first else None,
    )
    def run_stage(context: dg.OpExecutionContext, site: SiteResource) -> Iterator[Any]:
        opened = site.open(stage.name)
        nights = nights_of_run(context)
        if first:
            if nights is not None and _is_asked_by_hand(context):
                _queue_nights(context, opened, nights)
            yield dg.Output(None, "started")
        report = _drain(context, opened, stage, nights)
        alone = nights is not None and len(nights) == 1
        if report.failures or not alone:
            tell_nights(context, opened, stage, asset_key, report)
        if report.failures:
            context.instance.add_run_tags(context.run_id, {f"fits_dagster/failed_{stage.name}": "yes"})
            raise failure(context, report)
        figures = run_figures(report)
        if alone:
            figures |= night_figures(opened, stage, nights or ())
        else:
            # this goes to each night of the range, whose own figures have just been told
            figures = {f"run_{name}": value for name, value in figures.items()}
        yield dg.Output(None, asset, metadata=figures)

    return run_stage


def _is_asked_by_hand(context: dg.OpExecutionContext) -> bool:
    """Tell whether a person began this run or its backfill, rather than a sensor."""
    return UNIT_TAG not in context.run.tags and context.run.parent_run_id is None


def _background(context: dg.OpExecutionContext, site: Site, nights: Sequence[str] | None) -> bool | None:
    """Tell which work a run takes: of low priority, all other, or both."""
    unit = context.run.tags.get(UNIT_TAG)
    if unit is not None:
        return unit == background_unit(site.name)
    # a run without nights, and one that tries failed files again, takes what there is
    return True if nights is not None and _is_asked_by_hand(context) else None


def _queue_nights(context: dg.OpExecutionContext, site: Site, nights: Sequence[str]) -> None:
    def chosen(option: str) -> bool:
        tag = context.run.tags.get(f"{_OPTION_TAG}{option}", "")
        return bool(context.op_config[option]) or tag.lower() in ("1", "true", "yes")

    queued = queue_nights(site, nights, force=chosen("force"), force_md5=chosen("force_md5"))
    context.log.info(f"{queued} files of {len(nights)} nights queued for ingest, as background work")
    tags = {SITE_TAG: site.name}
    context.instance.add_run_tags(context.run_id, tags | ({NIGHT_TAG: nights[0]} if len(nights) == 1 else {}))


def _drain(
    context: dg.OpExecutionContext, site: Site, stage: Stage[Any], nights: Sequence[str] | None
) -> DrainReport:
    run_id = context.run_id
    background = _background(context, site, nights)
    if background and multiprocessing.parent_process() is not None:
        os.nice(_BACKGROUND_NICENESS)
    if context.run.parent_run_id is not None:
        earlier = [r for r in (context.run.parent_run_id, context.run.root_run_id) if r]
        with site.engine.begin() as connection:
            again = retry_failed(connection, stage=stage.name, run_ids=earlier)
        context.log.info(f"{again} failed files of the run before are tried again")
    together = _side_by_side(context, site, stage)
    scanned = 0.0

    def look_at_dhs() -> None:
        nonlocal scanned
        if time.monotonic() - scanned >= _SCAN_EVERY_S:
            copy.scan_dhs(site)
            scanned = time.monotonic()

    def idle() -> bool:
        with site.engine.connect() as connection:
            return not has_work_in_hand(connection, nights, stages=together, background=background)

    with (
        show_heartbeat(
            site, run_id, stage.name, nights, background=background, together=together
        ) as asked_to_stop,
        _stop_on_sigterm() as terminated,
    ):
        report = drain(
            site,
            stage,
            nights=nights,
            run_id=run_id,
            background=background,
            linger=_linger(site, nights, idle=idle, background=background),
            idle=idle,
            stop=lambda: asked_to_stop.is_set() or terminated.is_set(),
            before_round=look_at_dhs if stage is copy.STAGE else lambda: None,
        )
    context.log.info(
        f"{stage.name}: {report.done} files done ({listed(report.outcomes)}), {report.bytes / 1e6:.1f} MB, "
        f"{len(report.failures)} failed, {len(report.retrying)} to be tried again"
    )
    return report


def _side_by_side(context: dg.OpExecutionContext, site: Site, stage: Stage[Any]) -> Sequence[str]:
    """Return the stages that this run works on at the same time: all that it executes, or just this one."""
    if multiprocessing.parent_process() is None:
        # an executor within one process takes them one after another
        return [stage.name]
    chosen = {key.rpartition(".")[2] for key in context.run.step_keys_to_execute or ()}
    return [each.name for each in SITE_STAGES[site.name] if not chosen or each.name in chosen]


def _linger(
    site: Site, nights: Sequence[str] | None, *, idle: Callable[[], bool], background: bool | None
) -> float:
    """Return for how long a run waits for more work.

    All the time for a night that is on, so that its files never wait for a run to start; a while for the
    nights before it; briefly for old ones and for background work; not at all where there is nothing to do in
    the first place.
    """
    if background:
        return min(site.work.linger_seconds, _LINGER_OLD_S)
    if site.work.standing_runs and nights is not None and tonight(site.settings) in nights:
        return site.work.max_run_seconds
    if idle():
        return 0.0
    if nights is not None and any(is_live(night) for night in nights):
        return site.work.linger_seconds
    return min(site.work.linger_seconds, _LINGER_OLD_S)


@contextmanager
def _stop_on_sigterm() -> Iterator[threading.Event]:
    """Turn a SIGTERM into an orderly stop: files in hand are finished, the rest is released."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
