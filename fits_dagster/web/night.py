"""``/night``: a night as it goes, for the control room and for who looks back; and as a text for a mail."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from fits_dagster.checks.reconcile import NightReport, night_reports
from fits_dagster.nights import Night
from fits_dagster.records.nightly import progress_since
from fits_dagster.web.access import current_person, require_role, site_of
from fits_dagster.web.answers import json_answer
from fits_dagster.web.latency import HEIGHT, WIDTH, plot_latencies
from fits_dagster.web.night_view import NightView, look_at_night, read_night
from fits_dagster.web.pages import page
from fits_dagster.web.queues import queue_of_stage
from fits_dagster.web.shapes import NightProgress, Responses, content
from fits_dagster.web.versions import NO_CACHE, key_of
from fits_dagster.web.watch import EVENT_STREAM, EventBatch, stream, wants_stream

__all__ = ["router"]

router = APIRouter()

#: Rows of events that are asked for at once.
_BATCH: Final = 500
#: A row may appear so long after its time: a transaction's time is that of its beginning.
_OVERLAP: Final = timedelta(seconds=30)
_STREAM: Responses = {200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}}
_PAGE: Final = content("text/html", "text/plain")


@router.get("/night/events", response_model=NightProgress, responses=_STREAM)
def night_events(
    request: Request, night: Annotated[str, Query(description="Label of the night; else tonight.")] = ""
) -> Response:
    """Name the files of a night to which something happened in the last half minute, or as it happens."""
    which, engine = _night(request, night), site_of(request).engine
    current_person(request)
    seen: deque[int] = deque(maxlen=4 * _BATCH)

    def read(place: str) -> EventBatch:
        since = datetime.fromisoformat(place)
        with engine.connect() as connection:
            rows = progress_since(connection, which, since - _OVERLAP, limit=_BATCH)
        new = [row for row in rows if row[0] not in seen]
        seen.extend(row[0] for row in new)
        latest = max([since, *(at for _, at, _ in rows)]).isoformat()
        names = sorted({name for _, _, name in new})
        events = [(latest, "progress", {"names": names})] if names else []
        return EventBatch(events, latest, len(rows) == _BATCH and bool(new))

    now = datetime.now(UTC).isoformat()
    if wants_stream(request):
        return stream(request, _moment(request.headers.get("last-event-id")) or now, read)
    return json_answer(
        request, {"names": [name for _, _, data in read(now).events for name in data["names"]]}
    )


@router.get("/night/{rest:path}", response_class=HTMLResponse, responses=_PAGE)
def night_page(
    request: Request,
    rest: str,
    name: Annotated[list[str], Query(default_factory=list, description="Only these files.")],
    format: Annotated[str, Query(description="`text` for a summary that can be mailed.")] = "",
    check: Annotated[str, Query(description="`yes` asks the destinations what they have; for readers.")] = "",
) -> Response:
    """Show a night, ``YYYYMMDD``, or tonight by the clock of the site: its files as they come."""
    night = _night(request, rest.strip("/"))
    report = _report(request, night) if check == "yes" else None
    view = look_at_night(request, night, set(name) or None)
    if format == "text":
        return PlainTextResponse(_summary(request, view, report), headers=NO_CACHE)
    site = site_of(request)
    return page(
        request,
        "night.html",
        view=view,
        plot=plot_latencies(view),
        plot_size=(WIDTH, HEIGHT),
        report=report,
        queue_of=lambda stage: queue_of_stage(site, stage),
        key_of=key_of,
    )


def _night(request: Request, label: str) -> Night:
    return read_night(label) if label else site_of(request).settings.night_clock.tonight()


def _moment(text: str | None) -> str | None:
    """Return the time in the id of an event; None where it is none."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    # who has been away for longer loads the page anew
    oldest = datetime.now(UTC) - timedelta(hours=1)
    return None if found.tzinfo is None else max(found, oldest).isoformat()


def _report(request: Request, night: Night) -> NightReport:
    require_role(request, "reader", is_page=True)
    [report] = night_reports(site_of(request), [str(night)])
    return report


def _summary(request: Request, view: NightView, report: NightReport | None) -> str:
    """Write the summary of a night as plain text."""
    site = site_of(request).settings
    lines = [
        f"{site.title}: night {view.night}",
        f"{view.begins:%Y-%m-%d %H:%M} to {view.ends:%Y-%m-%d %H:%M} UTC, "
        f"as of {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "",
        f"{view.files} files have arrived"
        + (f" of {view.expected} that are expected" if view.expected else ""),
    ]
    lines += [
        f"  {each.files:5}  {each.instrument or 'no instrument':14} {each.observation_type or ''}".rstrip()
        for each in view.kinds
    ]
    if view.is_for_staff:
        lines += ["", "Stages", *_stage_lines(view), "", f"Failed: {len(view.failed) or 'none'}"]
        for entry in view.failed:
            lines += [
                f"  {entry.name}  {stage}  {step.outcome}"
                for stage, step in entry.progress.steps.items()
                if step.state == "failed"
            ]
        lines += ["", f"Alerts: {len(view.alerts) or 'none'}", *(f"  {each.message}" for each in view.alerts)]
        if plot := plot_latencies(view):
            lines += ["", "Seconds after the file was whole (median, 95 %)"]
            lines += [
                f"  {each.title:14} {each.median:8.1f} {each.worst_of_95:8.1f}  ({each.files} files)"
                for each in plot.stages
            ]
    if report is not None:
        lines += [
            "",
            f"At the destinations: {len(report.files) - len(report.incomplete)} of {len(report.files)}",
        ]
        lines += [f"  {each.name}  {each.state}  {each.detail}".rstrip() for each in report.incomplete]
        lines += [f"  {url} does not answer: {why}" for url, why in report.unanswered.items()]
    lines += ["", f"{str(request.base_url).rstrip('/')}/night/{view.night}"]
    return "\n".join(lines) + "\n"


def _stage_lines(view: NightView) -> Sequence[str]:
    order = ("done", "running", "waiting", "failed")
    return [
        f"  {stage.title:14} "
        + (", ".join(f"{counts[state]} {state}" for state in order if counts.get(state)) or "nothing")
        for stage in view.stages
        for counts in [dict[str, Any](view.stage_counts.get(stage.name, {}))]
    ]
