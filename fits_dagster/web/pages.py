"""Rendering pages from templates."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

__all__ = ["page"]

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


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page; every template knows the site's title and name, and who is signed in."""
    site = request.app.state.site
    known = {
        "site_title": site.settings.title,
        "site_name": site.name,
        "person": getattr(request.state, "person", None),
        "not_understood": getattr(request.state, "not_understood", ()),
    }
    return _templates.TemplateResponse(
        request, template, {**known, **values}, status_code=status, headers=_HEADERS
    )


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _size(count: int) -> str:
    """Write a number of bytes for people."""
    value = float(count)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
_templates.env.filters |= {"minute": _minute, "second": _second, "size": _size}
