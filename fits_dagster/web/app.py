"""The web application of a site."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy import text

from fits_dagster import __version__
from fits_dagster.dataflow.site import Site
from fits_dagster.web import (
    actions,
    associated,
    calibrations,
    calmgr,
    history,
    login,
    queuestatus,
    records,
    update_headers,
    upload,
)
from fits_dagster.web.access import RoleGuard, SignInNeededError, login_address
from fits_dagster.web.dagster_ui import DAGSTER_PREFIX, dagster_app
from fits_dagster.web.pages import page

__all__ = ["create_app"]


def create_app(site: Site, *, session_hours: float, dagster_workspace: Path | None = None) -> FastAPI:
    """Build the web application of a site.

    Parameters
    ----------
    dagster_workspace
        Workspace file of the Dagster UI that is mounted under ``/dagster``; None leaves it out.
    """
    app = FastAPI(
        title=f"fits_dagster {site.name}",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.site = site
    app.state.session_hours = session_hours
    # the page of calibrations takes what the explanations below the same path leave
    reading = (queuestatus, records, calmgr, calibrations, associated)
    for part in (login, history, *reading, actions, upload, update_headers):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")

    @app.get("/")
    def root() -> RedirectResponse:
        return RedirectResponse("/queuestatus", 302)

    @app.get("/health")
    def health() -> dict[str, str]:
        with site.engine.connect() as connection:
            connection.execute(text("select 1"))
        return {"site": site.name, "version": __version__, "status": "ok"}

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return page(request, "refused.html", status=error.status_code, detail=error.detail)
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(SignInNeededError)
    async def sign_in_first(request: Request, error: SignInNeededError) -> Response:
        return RedirectResponse(login_address(request.url), 302)

    if dagster_workspace is not None:
        inner = dagster_app(dagster_workspace)
        app.add_middleware(RoleGuard, prefix=DAGSTER_PREFIX, inner=inner, site=site, role="reader")
    return app
