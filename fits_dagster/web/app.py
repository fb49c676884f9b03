"""The web application of a site."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from fits_dagster import __version__
from fits_dagster.monitoring.collector import SiteMetrics
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site
from fits_dagster.web import (
    about,
    actions,
    again,
    api,
    associated,
    calibrations,
    calmgr,
    download,
    files,
    grammar,
    history,
    left_out,
    listing,
    login,
    metrics,
    names,
    night,
    programs,
    queuestatus,
    search,
    small,
    tables,
    texts,
    update_headers,
    upload,
)
from fits_dagster.web.access import RoleGuard, SignInNeededError, current_person
from fits_dagster.web.dagster_ui import DAGSTER_PREFIX, dagster_app
from fits_dagster.web.errors import add_error_handlers
from fits_dagster.web.heads import EveryAnswer
from fits_dagster.web.pages import login_address
from fits_dagster.web.proxies import TrustedProxies
from fits_dagster.web.shapes import ERRORS, Health
from fits_dagster.web.watch import Watch

__all__ = ["create_app"]

_REST: Final = "/{rest:path}"
#: Routes that say why they cut a sender off come first.
_LATER_S: Final = 1.0


def create_app(
    site: Site,
    *,
    session_hours: float,
    dagster_workspace: Path | None = None,
    site_metrics: SiteMetrics | None = None,
) -> FastAPI:
    """Build the web application of a site.

    Parameters
    ----------
    dagster_workspace
        Workspace file of the Dagster UI that is mounted under ``/dagster``; None leaves it out.
    site_metrics
        What ``/metrics`` tells; by default without Dagster's runs and without the broker.
    """
    app = FastAPI(
        title=f"fits_dagster {site.name}",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        responses=ERRORS,
    )
    app.state.site = site
    app.state.session_hours = session_hours
    app.state.watch = Watch(site)
    app.state.metrics = site_metrics or SiteMetrics(site)
    # the page of calibrations takes what the explanations below the same path leave
    reading = (queuestatus, listing, files, texts, download, calmgr, calibrations, associated, grammar)
    tabled = (again, night, about, search, names, tables, programs, small)
    parts = (login, history, api, *reading, *tabled, actions, upload, update_headers, metrics, left_out)
    for part in parts:
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")

    @app.get("/", status_code=302, response_class=RedirectResponse)
    def root(request: Request) -> RedirectResponse:
        person = current_person(request)
        return RedirectResponse("/queuestatus" if person and person.role else "/searchform/", 302)

    @app.get("/health", response_model=Health)
    def health() -> dict[str, str]:
        with site.engine.connect() as connection:
            connection.execute(RECORDS["is_alive"])
        return {"site": site.name, "version": __version__, "status": "ok"}

    add_error_handlers(app)

    @app.exception_handler(SignInNeededError)
    async def sign_in_first(request: Request, error: SignInNeededError) -> Response:
        return RedirectResponse(login_address(request.url), 302)

    if dagster_workspace is not None:
        inner = dagster_app(dagster_workspace)
        app.add_middleware(RoleGuard, prefix=DAGSTER_PREFIX, inner=inner, site=site, role="reader")
    paths = {getattr(route, "path", "") for part in parts for route in part.router.routes}
    bare = {path.removesuffix(_REST) for path in paths if path.endswith(_REST)} - paths
    app.add_middleware(
        EveryAnswer,
        bare=frozenset(bare),
        host_names=site.settings.host_names,
        silence_seconds=site.settings.silence_seconds + _LATER_S,
    )
    app.add_middleware(
        TrustedProxies, networks=site.settings.trusted_proxies, header=site.settings.proxy_header
    )
    return app
