"""Signing in and out."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from fits_dagster.web.access import current_person, site_of
from fits_dagster.web.accounts import SESSION_COOKIE, sign_in, sign_out
from fits_dagster.web.pages import page

__all__ = ["router"]

router = APIRouter()

_MAX_FORM_BYTES = 10_000
#: astroquery's client looks for these bytes, misspelling included.
WELCOME = "Welcome, you are sucessfully logged in"


@router.get("/login", response_class=HTMLResponse)
@router.get("/login/", response_class=HTMLResponse)
def login_form(request: Request, redirect: str = "") -> HTMLResponse:
    """Show the form."""
    return page(request, "login.html", redirect=_local(redirect), person=current_person(request))


@router.post("/login", response_class=HTMLResponse)
@router.post("/login/", response_class=HTMLResponse)
async def login(request: Request) -> Response:
    """Sign in with ``username``, ``password`` (form or query string); ``redirect`` is where to go then."""
    form = await _form(request)
    username, password = form.get("username", ""), form.get("password", "")
    site, hours = site_of(request), request.app.state.session_hours
    token = await run_in_threadpool(sign_in, site.engine, username, password, hours=hours)
    target = _local(form.get("redirect", ""))
    if token is None:
        return page(
            request, "login.html", redirect=target, error="Name or password are wrong.", name=username
        )
    response: Response
    if target:
        response = RedirectResponse(target, 302)
    else:
        response = page(request, "welcome.html", name=username, welcome=WELCOME)
    response.set_cookie(
        SESSION_COOKIE, token, max_age=int(hours * 3600), httponly=True, samesite="lax", path="/"
    )
    return response


@router.get("/logout", response_class=HTMLResponse)
def logout(request: Request) -> Response:
    """Sign out."""
    sign_out(site_of(request).engine, request.cookies.get(SESSION_COOKIE))
    response = RedirectResponse("/login/", 302)
    response.delete_cookie(SESSION_COOKIE, path="/")
    return response


async def _form(request: Request) -> dict[str, str]:
    """Read parameters from the query string and a urlencoded body; the body wins."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            break
    posted = {k: v[-1] for k, v in parse_qs(body.decode("utf-8", "replace")).items()}
    return {**request.query_params, **posted}


def _local(target: str) -> str:
    """Keep a redirect to this server."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else ""
