"""Rendering pages from templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

__all__ = ["page"]

_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page; every template knows the site's title and name."""
    site = request.app.state.site
    return _templates.TemplateResponse(
        request,
        template,
        {"site_title": site.settings.title, "site_name": site.name, **values},
        status_code=status,
        headers={"Cache-Control": "no-cache"},
    )
