"""Rendering pages from templates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from starlette.datastructures import URL

from fits_dagster.stages.registry import all_stages
from fits_dagster.web.notices import forget_notice, notice_of

__all__ = ["login_address", "page"]

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    # nothing from elsewhere, and our buttons in nobody's frame
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


#: The navigation: address and name.
_PAGES: Final = (
    ("/searchform/", "Search"),
    ("/night/", "Tonight"),
    ("/calibrations/", "Calibrations"),
    ("/programs/", "Programs"),
    ("/help", "Selections"),
)
#: What needs a role besides.
_PAGES_OF_STAFF: Final = (
    ("/queuestatus", "Queue status"),
    ("/queuestatus/file", "Find a file"),
    ("/dagster", "Dagster"),
)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page; every template knows the site's title and name, and who is signed in."""
    site = request.app.state.site
    person, notice = getattr(request.state, "person", None), notice_of(request)
    known = {
        "site_title": site.settings.title,
        "site_name": site.name,
        "person": person,
        "notice": notice,
        "pages": _PAGES + (_PAGES_OF_STAFF if person is not None and person.role else ()),
        "here": request.url.path,
        "login": login_address(request.url),
        "not_understood": getattr(request.state, "not_understood", ()),
    }
    answer = _templates.TemplateResponse(
        request, template, {**known, **values}, status_code=status, headers=_HEADERS
    )
    if notice:
        forget_notice(request, answer)
    return answer


def login_address(url: URL) -> str:
    """Return the address of the login form that leads back to a page."""
    back = f"{url.path}?{url.query}" if url.query else url.path
    return f"/login/?redirect={quote(back, safe='/')}"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _stage_title(name: str) -> str:
    """Return the one name that people know a stage by."""
    stage = all_stages().get(name)
    return stage.title if stage is not None else name


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%H:%M:%S}"


def _size(count: int) -> str:
    """Write a number of bytes for people."""
    value = float(count)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
_templates.env.filters |= {
    "minute": _minute,
    "second": _second,
    "clock": _clock,
    "stage_title": _stage_title,
    "size": _size,
}
