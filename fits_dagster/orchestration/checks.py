"""Asset checks: the standing questions about a site, in Dagster's form.

A sensor looks regularly and reports what has changed, without a run; the same checks can be executed in the
UI. So a check turns green by itself when its reason is gone.
"""

# annotations are not postponed here: Dagster reads those of the context and of the resources at once

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from sqlalchemy.exc import OperationalError

from fits_dagster.checks.standing import Check, CheckResult, checks_of
from fits_dagster.orchestration.assets import asset_key
from fits_dagster.orchestration.figures import table
from fits_dagster.orchestration.resources import SiteResource
from fits_dagster.settings import SiteName, load_settings
from fits_dagster.sites import Site

__all__ = ["build_check_sensor", "build_checks"]

_INTERVAL_S = 30
#: An answer that does not change is told again so often, so that it does not look forgotten.
_TELL_AGAIN_S = 3600.0


def _checks(site: SiteName) -> Mapping[dg.AssetCheckKey, Check]:
    checks = checks_of(load_settings().site(site))
    return {dg.AssetCheckKey(asset_key(site, check.stage), check.name): check for check in checks}


def build_checks(site: SiteName) -> dg.AssetChecksDefinition:
    """Make the checks of a site's assets; each can be executed by itself."""
    checks = _checks(site)

    @dg.multi_asset_check(
        name=f"{site}_checks",
        specs=[
            dg.AssetCheckSpec(key.name, asset=key.asset_key, description=check.description)
            for key, check in checks.items()
        ],
        can_subset=True,
    )
    def look(context: dg.AssetCheckExecutionContext, site_resource: SiteResource) -> Iterator[Any]:
        opened = site_resource.open("checks")
        for key in context.selected_asset_check_keys:
            check = checks[key]
            found = check.look(opened)
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=found.passed,
                severity=_severity(check),
                description=found.summary,
                metadata=_metadata(found),
            )

    return look


def build_check_sensor(site: SiteName) -> dg.SensorDefinition:
    """Make the sensor that keeps the checks of a site up to date."""
    checks = _checks(site)

    @dg.sensor(
        name=f"{site}_checks",
        description="Looks whether the last nights are complete and unaltered, and nothing failed or stuck.",
        minimum_interval_seconds=_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def look(context: dg.SensorEvaluationContext, site_resource: SiteResource) -> dg.SensorResult:
        if context.cursor is None:
            # a system that has just started has better things to do
            return dg.SensorResult(cursor="{}", skip_reason="the first look is the next one")
        reported: dict[str, Any] = json.loads(context.cursor)
        try:
            events = list(_changes(site_resource.open("checks"), checks, reported, context.instance))
        except (OSError, OperationalError) as error:
            return dg.SensorResult(skip_reason=f"{type(error).__name__}: {error}")
        reason = None if events else "no answer has changed"
        return dg.SensorResult(asset_events=events, cursor=json.dumps(reported), skip_reason=reason)

    return look


def _changes(
    site: Site,
    checks: Mapping[dg.AssetCheckKey, Check],
    reported: dict[str, Any],
    instance: dg.DagsterInstance,
) -> Iterator[dg.AssetCheckEvaluation]:
    """Look at the checks that are due, and yield the answers that differ from those told before.

    An answer is told again when its asset was materialized after it: the UI shows answers about the latest
    materialization only.

    Parameters
    ----------
    reported
        Per check: when it was looked at, when it was told, and a digest of the answer; brought up to date.
    """
    for key, check in checks.items():
        name, now = key.to_user_string(), time.time()
        looked, said, before = reported.get(name, (0.0, 0.0, ""))
        if now - looked < check.every_s:
            continue
        found = check.look(site)
        latest = instance.get_latest_materialization_event(key.asset_key)
        about = latest.timestamp if latest is not None else None
        answer = json.dumps([found.passed, found.summary, list(found.rows), about], default=str)
        digest = hashlib.sha256(answer.encode()).hexdigest()[:16]
        again = digest == before and now - said < _TELL_AGAIN_S
        reported[name] = (now, said if again else now, digest)
        if not again:
            yield dg.AssetCheckEvaluation(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=found.passed,
                severity=_severity(check),
                description=found.summary,
                metadata=_metadata(found),
            )


def _severity(check: Check) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.WARN if check.warns else dg.AssetCheckSeverity.ERROR


def _metadata(found: CheckResult) -> dict[str, Any]:
    metadata: dict[str, Any] = {"summary": found.summary, **found.figures}
    if found.rows:
        metadata["files"] = table(found.rows)
    return metadata
