"""Signing in and out."""

from __future__ import annotations

import math

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from fits_dagster.web.access import address_of, current_person, site_of
from fits_dagster.web.accounts import AccountsBusyError, session_cookie, sign_in, sign_out
from fits_dagster.web.forms import read_form
from fits_dagster.web.pages import page
from fits_dagster.web.shapes import form_of, leads_to
from fits_dagster.web.throttling import TooManyFailuresError

__all__ = ["router"]

router = APIRouter()

_LET_IN = leads_to("the page that was wanted")
_FIELDS = form_of("username", "password", "redirect")

#: astroquery's client looks for these bytes, misspelling included.
WELCOME = "Welcome, you are sucessfully logged in"


@router.get("/login", response_class=HTMLResponse)
@router.get("/login/", response_class=HTMLResponse)
def login_form(request: Request, redirect: str = "") -> HTMLResponse:
    """Show the form."""
    return page(request, "login.html", redirect=_local(redirect), person=current_person(request))


@router.post("/login", response_class=HTMLResponse, responses=_LET_IN, openapi_extra=_FIELDS)
@router.post("/login/", response_class=HTMLResponse, responses=_LET_IN, openapi_extra=_FIELDS)
async def login(request: Request) -> Response:
    """Sign in with ``username``, ``password`` (form or query string); ``redirect`` is where to go then."""
    # the query string counts too; the body wins
    form = {**request.query_params, **await read_form(request)}
    username, password = form.get("username", ""), form.get("password", "")
    site, hours = site_of(request), request.app.state.session_hours
    target = _local(form.get("redirect", ""))
    try:
        token = await run_in_threadpool(
            sign_in,
            site.engine,
            username,
            password,
            hours=hours,
            address=address_of(request),
            wait_seconds=site.settings.sign_in_wait_seconds,
        )
    except TooManyFailuresError as error:
        text = f"{error} Please try again in {_for_how_long(error.seconds)}."
        refusal = page(request, "login.html", status=429, redirect=target, error=text, name=username)
        refusal.headers["Retry-After"] = str(math.ceil(error.seconds))
        return refusal
    except AccountsBusyError:
        text = "The accounts are busy. Please try again in a minute."
        return page(request, "login.html", status=503, redirect=target, error=text, name=username)
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
        session_cookie(site.name),
        token,
        max_age=int(hours * 3600),
        httponly=True,
        samesite="lax",
        path="/",
        # not everywhere: inside an observatory there is plain HTTP, too
        secure=request.url.scheme == "https",
    )
    return response


@router.get("/logout", status_code=302, response_class=RedirectResponse)
def logout(request: Request) -> Response:
    """Sign out."""
    site = site_of(request)
    cookie = session_cookie(site.name)
    sign_out(site.engine, request.cookies.get(cookie))
    response = RedirectResponse("/login/", 302)
    response.delete_cookie(cookie, path="/")
    return response


def _for_how_long(seconds: float) -> str:
    if seconds <= 60:
        return f"{math.ceil(seconds)} seconds"
    return f"{math.ceil(seconds / 60)} minutes"


def _local(target: str) -> str:
    """Keep a redirect to this server."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else ""
