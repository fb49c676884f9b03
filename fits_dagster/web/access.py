"""Who may see what: the session cookie, and the staff rule."""

from __future__ import annotations

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fits_dagster.dataflow.site import Site
from fits_dagster.web.accounts import SESSION_COOKIE, Person, find_session

__all__ = ["StaffOnly", "current_person", "site_of", "staff_required"]


def site_of(request: Request) -> Site:
    """Return the site that this app serves."""
    site: Site = request.app.state.site
    return site


def current_person(request: Request) -> Person | None:
    """Return who is signed in."""
    return find_session(site_of(request).engine, request.cookies.get(SESSION_COOKIE))


def staff_required(request: Request) -> Person:
    """Refuse everybody but staff.

    Raises
    ------
    fastapi.HTTPException
        403 without a session of a staff member.
    """
    person = current_person(request)
    if person is None or not person.may("staff"):
        raise HTTPException(403, "staff only: please log in with an account that has staff access")
    return person


class StaffOnly:
    """Serve another application under a path, pages and websockets, for staff alone.

    The inner application must know the path by itself: requests reach it unchanged.
    """

    def __init__(self, app: ASGIApp, *, prefix: str, inner: ASGIApp, site: Site) -> None:
        self.app = app
        self.prefix = prefix
        self.inner = inner
        self.site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let staff through; send others to the login page, or refuse them."""
        path = scope.get("path", "")
        if scope["type"] not in ("http", "websocket") or not (
            path == self.prefix or path.startswith(f"{self.prefix}/")
        ):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        person = await run_in_threadpool(
            find_session, self.site.engine, connection.cookies.get(SESSION_COOKIE)
        )
        if person is not None and person.may("staff"):
            await self.inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403})
        elif person is None and "text/html" in connection.headers.get("accept", ""):
            await RedirectResponse(f"/login/?redirect={path}", 302)(scope, receive, send)
        else:
            await PlainTextResponse("staff only", 403)(scope, receive, send)
