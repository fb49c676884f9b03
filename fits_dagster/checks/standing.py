"""Standing questions about a site: is a night complete and unaltered, has anything failed, is anything stuck?

Each check looks at what is, not at what some run did; it turns good again by itself when the reason is gone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fits_dagster.calibration.coverage import calibration_coverage
from fits_dagster.checks.reconcile import COMPLETE, NightReport, night_reports
from fits_dagster.intake.room import intake_directory
from fits_dagster.ledger.management import paused_stages
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.nights import UNDATED, FileKey
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site
from fits_dagster.stages import associate
from fits_dagster.stages.registry import arrivals, sources_of, stages_of
from fits_dagster.wording import counted

__all__ = ["Check", "CheckResult", "checks_of", "recent_nights"]

_MOST_ROWS: Final = 200
#: However many nights a backfill has touched, so many are looked at.
_MOST_NIGHTS: Final = 10


@dataclass(frozen=True)
class CheckResult:
    """The answer to one question."""

    passed: bool
    #: One sentence.
    summary: str
    figures: Mapping[str, int | float | str] = field(default_factory=dict)
    #: What is wrong, one row each, at most 200.
    rows: Sequence[Mapping[str, str | int | float]] = ()


@dataclass(frozen=True)
class Check:
    """A standing question about what a stage makes."""

    name: str
    stage: str
    description: str
    look: Callable[[Site], CheckResult]
    #: A bad answer is a warning, not an error.
    warns: bool = False
    #: Seconds between two looks.
    every_s: float = 30.0


def recent_nights(site: Site, now: datetime | None = None) -> list[str]:
    """Return the nights that checks look at: tonight and those before it, newest first."""
    tonight = site.settings.night_clock.tonight(now)
    return [str(night) for night in tonight.back(site.settings.checked_nights)]


def nights_with_work(site: Site) -> list[str]:
    """Return the nights to look at: the recent ones, and those in which something happened of late."""
    with site.engine.connect() as connection:
        touched = connection.scalars(
            LEDGER["nights_with_work"],
            {"days": site.settings.checked_nights},
        ).all()
    nights = {*recent_nights(site), *touched} - {UNDATED}
    return sorted(nights, reverse=True)[: max(site.settings.checked_nights, _MOST_NIGHTS)]


def checks_of(site: SiteSettings) -> Sequence[Check]:
    """Return the checks of a site."""
    stages = stages_of(site)
    found = [check for stage in stages for check in _stage_checks(stage.name)]
    here, last = arrivals(site)[0], arrivals(site)[-1]
    found += [Check(name, last.name, asked, look, every_s=120.0) for name, asked, look in _NIGHT_CHECKS]
    found.append(_intact(here.name))
    found += [_room(stage.name) for stage in sources_of(site)]
    if site.using_calibration_cache:
        found.append(_CALIBRATED)
    return found


def _stage_checks(stage: str) -> list[Check]:
    return [
        Check(
            "no_failed_items",
            stage,
            "No file has failed in this stage and waits for an operator.",
            lambda site: _no_failed_items(site, stage),
        ),
        Check(
            "nothing_stuck",
            stage,
            "No file has been due or in hand for longer than it should be, and the stage is not paused.",
            lambda site: _nothing_stuck(site, stage),
            warns=True,
        ),
    ]


def _no_failed_items(site: Site, stage: str) -> CheckResult:
    with site.engine.connect() as connection:
        found = connection.execute(LEDGER["failed_of_stage"], {"stage": stage, "most": _MOST_ROWS}).all()
    total = found[0].total if found else 0
    rows = [
        {
            "file": str(FileKey(row.path, row.filename)),
            "night": row.night,
            "reason": row.reason or "",
            "error": (row.error or "")[:300],
            "since": f"{row.failed_at:%Y-%m-%d %H:%M}",
        }
        for row in found
    ]
    summary = f"{counted(total, 'file')} failed" if total else "no file has failed"
    return CheckResult(not total, summary, {"failed": total}, rows)


def _nothing_stuck(site: Site, stage: str) -> CheckResult:
    limit = site.settings.stuck_minutes * 60.0
    with site.engine.connect() as connection:
        by = paused_stages(connection).get(stage)
        found = connection.execute(
            LEDGER["stuck_of_stage"], {"stage": stage, "limit": limit, "most": _MOST_ROWS}
        ).all()
    total = found[0].total if found else 0
    figures = {"stuck": total, "paused": "no" if by is None else f"by {by}"}
    rows = [
        {
            "file": str(FileKey(row.path, row.filename)),
            "night": row.night,
            "state": row.state,
            "reason": row.reason or "",
            "since": f"{row.since:%Y-%m-%d %H:%M}",
        }
        for row in found
    ]
    files, minutes = counted(total, "file"), f"{site.settings.stuck_minutes:g} minutes"
    summary = f"{files} for more than {minutes}" if total else "none"
    if by is not None:
        summary += f"; the stage is paused by {by}"
    return CheckResult(not total and by is None, summary, figures, rows)


_INCOMPLETE_STATES: Final = ("not_copied", "not_stored", "not_ingested", "not_at_destination")
_ALTERED_STATES: Final = ("altered", "different_there")


def _night_complete(site: Site) -> CheckResult:
    return _of_nights(site, _INCOMPLETE_STATES, "every expected file has arrived", "not arrived")


def _md5_equal(site: Site) -> CheckResult:
    return _of_nights(
        site, _ALTERED_STATES, "every content is the same at both ends", "of different contents"
    )


def _of_nights(site: Site, states: Collection[str], good: str, bad: str) -> CheckResult:
    reports = night_reports(site, nights_with_work(site))
    wrong = [
        file for report in reports for file in report.files if file.state in states and not file.is_on_its_way
    ]
    rows = [
        {"file": f.name, "night": f.night, "state": f.state, "queue": f.queue or "none", "detail": f.detail}
        for f in wrong[:_MOST_ROWS]
    ]
    silent = sorted({url for report in reports for url in report.unanswered})
    summary = f"{counted(len(wrong), 'file')} {bad}" if wrong else good
    if silent:
        summary += f"; no answer from {', '.join(silent)}"
    return CheckResult(not wrong and not silent, summary, _figures(reports, len(wrong)), rows)


def _figures(reports: Sequence[NightReport], wrong: int) -> dict[str, int | float | str]:
    files = sum(len(report.files) for report in reports)
    on_their_way = sum(file.is_on_its_way for report in reports for file in report.files)
    complete = sum(report.counts.get(COMPLETE, 0) for report in reports)
    nights = [report.night for report in reports if report.files]
    return {
        "nights": len(nights),
        "expected": files,
        "complete": complete,
        "on_their_way": on_their_way,
        "wrong": wrong,
    }


def _calibrated(site: Site) -> CheckResult:
    if not site.settings.using_calibration_cache:
        return CheckResult(True, "this site has no association cache")
    with site.engine.connect() as connection:
        coverage = calibration_coverage(
            connection, nights_with_work(site), optional=site.settings.optional_calibrations
        )
    rows = [
        {
            "file": each.name,
            "night": each.night,
            "instrument": each.instrument,
            "lacks": ", ".join(each.demanded),
            "also_without": ", ".join(t for t in each.lacking if t not in each.demanded),
        }
        for each in coverage.unusable[:_MOST_ROWS]
    ]
    figures: dict[str, Any] = {
        "files": coverage.files,
        "science_files": coverage.science_files,
        "lacking": len(coverage.unusable),
        **{f"missing {caltype}": count for caltype, count in coverage.missing.items()},
    }
    lacking = len(coverage.unusable)
    summary = (
        f"{lacking} of {coverage.science_files} science files lack something that they need"
        if lacking
        else f"{coverage.science_files} science files have what they need"
    )
    return CheckResult(not lacking, summary, figures, rows)


def _stored_intact(site: Site) -> CheckResult:
    with site.engine.connect() as connection:
        last = connection.execute(LEDGER["last_scrub"]).first()
        lost = connection.execute(RECORDS["lost_files"], {"most": _MOST_ROWS}).all()
    rows = [
        {
            "file": str(FileKey(row.path, row.filename)),
            "fault": row.fault,
            "kept_as": row.kept_as or "",
            "detail": row.detail[:300],
            "since": f"{row.at:%Y-%m-%d %H:%M}",
        }
        for row in lost
    ]
    total = lost[0].total if lost else 0
    summary = f"{counted(total, 'bad file')} not restored" if total else "no bad file is without a good copy"
    if last is None:
        return CheckResult(
            not total, f"{summary}; the store was never scrubbed", {"not_restored": total}, rows
        )
    summary += (
        f"; the scrub that ended {last.ended_at:%Y-%m-%d %H:%M} read {last.files} files and found "
        f"{last.bad} bad, {last.restored} restored, {last.unread} unreadable"
    )
    figures: dict[str, int | float | str] = {
        "not_restored": total,
        "files": last.files,
        "gigabytes": round(last.bytes / 1e9, 3),
        "bad": last.bad,
        "restored": last.restored,
        "unread": last.unread,
    }
    return CheckResult(not total and not last.unread, summary, figures, rows)


def _intact(stage: str) -> Check:
    summary = "No stored file that was found bad is without a good copy, and the last scrub could read all."
    return Check("stored_files_intact", stage, summary, _stored_intact, every_s=120.0)


def _has_room(site: Site, stage: str) -> CheckResult:
    directory = intake_directory(site)
    if directory is None:
        return CheckResult(True, "this site takes nothing in")
    with site.engine.connect() as connection:
        waiting = connection.scalar(LEDGER["waiting_for_room"], {"stage": stage}) or 0
    free = shutil.disk_usage(directory).free
    enough = free >= site.settings.min_free_bytes and not waiting
    summary = f"{free / 1e9:.1f} GB free in {directory}"
    if not enough:
        summary += f"; {counted(waiting, 'file')} waiting for room, taken in when there is some"
    return CheckResult(enough, summary, {"free_gigabytes": round(free / 1e9, 1), "waiting": waiting})


def _room(stage: str) -> Check:
    summary = "The disk that files are taken into has room for them."
    return Check("has_room", stage, summary, lambda site: _has_room(site, stage))


_NIGHT_CHECKS: Final = (
    ("night_complete", "Every file that is expected of the last nights has arrived.", _night_complete),
    ("md5_equal", "The content of every file is what came, at both ends.", _md5_equal),
)
_CALIBRATED: Final = Check(
    "every_science_file_has_what_it_needs",
    associate.STAGE.name,
    "Every science exposure of the last nights has a calibration of each type that it needs.",
    _calibrated,
    warns=True,
)
