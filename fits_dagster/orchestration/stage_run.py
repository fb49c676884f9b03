"""What a run does: it works through the queue of one stage, and says at its end what came of it."""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.management import retry_failed
from fits_dagster.ledger.report import DrainReport
from fits_dagster.ledger.scope import Scope, Urgency
from fits_dagster.ledger.stage import Stage, Subject
from fits_dagster.orchestration.figures import failure, listed, night_figures, report_nights, run_figures
from fits_dagster.orchestration.partitions import (
    NIGHT_TAG,
    SITE_TAG,
    STAGE_TAG,
    UNIT_TAG,
    Unit,
    is_live,
    nights_of_run,
)
from fits_dagster.orchestration.presence import is_canceled, stop_requested, stopped_by_sigterm
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.requeue.nights import queue_again
from fits_dagster.sites import Site
from fits_dagster.stages.registry import stages_of

__all__ = ["stage_op"]

_LINGER_OLD_S = 8.0
#: A file that is seen for the first time is looked at again after a second.
_LINGER_BY_HAND_S = 3.0
#: A run that helps with a backlog ends when the backlog does.
_LINGER_SHARED_S = 1.0

#: Switches of a stage as tags of a run or a backfill, where its configuration does not give them.
_SWITCH_TAG = "fits_dagster/"


def stage_op(stage: Stage[Any], asset_key: dg.AssetKey, inputs: Sequence[str]) -> dg.OpDefinition:
    """Make the op of a stage.

    A run that a person asks for, for one night or a range of them, makes the stage's asset of these nights
    again: their files are queued as background work, and the run does that work and no other. Where an
    earlier op of the run looks through the store, the later ones take what follows from that.

    Parameters
    ----------
    inputs
        Names of its inputs, one for each asset that it follows from.
    """
    asset = asset_key.path[-1]

    @dg.op(
        name=stage.name,
        description=f"{type(stage).__doc__} Works through the night's queue, file by file.",
        ins={name: dg.In(dg.Nothing) for name in inputs},
        out={asset: dg.Out(dg.Nothing, description=f"The night's {asset}, as far as they are known.")},
        tags={STAGE_TAG: stage.name},
        config_schema={
            name: dg.Field(bool, default_value=False, description=description)
            for name, description in stage.switches.items()
        }
        or None,
    )
    def run_stage(context: dg.OpExecutionContext, site: SiteResource) -> Iterator[Any]:
        opened = site.open(stage.name)
        nights = nights_of_run(context)
        if nights is not None and _is_asked_by_hand(context):
            _queue_again(context, opened, stage, nights)
        report = _work(context, opened, stage, nights)
        if is_canceled():
            raise dg.DagsterExecutionInterruptedError("the run was terminated; files that it held wait again")
        alone = nights is not None and len(nights) == 1
        if report.failures or not alone:
            report_nights(context, opened, stage, asset_key, report)
        if report.failures:
            context.instance.add_run_tags(context.run_id, {f"fits_dagster/failed_{stage.name}": "yes"})
            raise failure(context, report)
        figures = run_figures(report)
        if alone:
            figures |= night_figures(opened, stage, nights or ())
        else:
            # this goes to each night of the range, whose own figures have just been reported
            figures = {f"run_{name}": value for name, value in figures.items()}
        yield dg.Output(None, asset, metadata=figures)

    return run_stage


def _is_asked_by_hand(context: dg.OpExecutionContext) -> bool:
    """Tell whether a person began this run or its backfill, rather than a sensor."""
    return UNIT_TAG not in context.run.tags and context.run.parent_run_id is None


def _unit(context: dg.OpExecutionContext) -> Unit | None:
    return Unit.parse(context.run.tags.get(UNIT_TAG, ""))


def _scope(context: dg.OpExecutionContext, nights: Sequence[str] | None) -> Scope:
    """Return which work a run takes."""
    if (unit := _unit(context)) is not None:
        urgency = Urgency.BACKGROUND if unit.scope == Unit.BACKGROUND else Urgency.LIVE
    else:
        # a run without nights, and one that tries failed files again, takes what there is
        by_hand = nights is not None and _is_asked_by_hand(context)
        urgency = Urgency.BACKGROUND if by_hand else Urgency.BOTH
    return Scope(tuple(nights) if nights is not None else None, urgency)


def _queue_again(
    context: dg.OpExecutionContext, site: Site, stage: Stage[Any], nights: Sequence[str]
) -> None:
    def is_on(switch: str) -> bool:
        tag = context.run.tags.get(f"{_SWITCH_TAG}{switch}", "")
        return bool(context.op_config[switch]) or tag.lower() in ("1", "true", "yes")

    tags = {SITE_TAG: site.name}
    context.instance.add_run_tags(context.run_id, tags | ({NIGHT_TAG: nights[0]} if len(nights) == 1 else {}))
    in_run = {node.name for node in context.job_def.nodes}
    earlier = [each for each in stages_of(site.settings) if each.name in in_run and each.name in stage.after]
    if any(each.subject is Subject.STORED for each in earlier):
        return
    queued = queue_again(site, stage, nights, {switch: is_on(switch) for switch in stage.switches})
    context.log.info(f"{queued} files of {len(nights)} nights queued for {stage.name}, as background work")


def _work(
    context: dg.OpExecutionContext, site: Site, stage: Stage[Any], nights: Sequence[str] | None
) -> DrainReport:
    scope = _scope(context, nights)
    if context.run.parent_run_id is not None:
        earlier = [r for r in (context.run.parent_run_id, context.run.root_run_id) if r]
        with site.engine.begin() as connection:
            again = retry_failed(connection, stage=stage.name, run_ids=earlier)
        context.log.info(f"{again} failed files of the run before are tried again")
    with stopped_by_sigterm():
        stage.begin()
        try:
            report = drain(
                site,
                stage,
                scope,
                run_id=context.run_id,
                linger=_linger(site, scope, _unit(context)),
                # what a person has asked for is queued by now
                for_queued_only=scope.is_background and _unit(context) is None,
                stop=stop_requested,
            )
        finally:
            stage.end()
    context.log.info(
        f"{stage.name}: {report.done} files done ({listed(report.outcomes)}), {report.bytes / 1e6:.1f} MB, "
        f"{len(report.failures)} failed, {len(report.retrying)} to be tried again"
    )
    return report


def _linger(site: Site, scope: Scope, unit: Unit | None) -> float:
    """Return for how long a run waits for more work.

    A while for nights whose files may still be coming, so that a file that follows soon finds it at work;
    briefly for old ones and for background work, and where a person waits for its end.
    """
    longest = site.work.linger_seconds
    if unit is None:
        return min(longest, _LINGER_BY_HAND_S)
    if unit.share > 1:
        return min(longest, _LINGER_SHARED_S)
    if not scope.is_background and any(is_live(night) for night in scope.nights or ()):
        return longest
    return min(longest, _LINGER_OLD_S)
