"""Who may see and do what: the session cookie, and the roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fits_dagster.sites import Site
from fits_dagster.web.accounts import Person, Role, find_session, session_cookie
from fits_dagster.web.errors import refusal
from fits_dagster.web.origin import SAFE_METHODS
from fits_dagster.web.pages import login_address
from fits_dagster.web.rights import bearer_of, judge

__all__ = [
    "PERSON_KEY",
    "RoleGuard",
    "SignInNeededError",
    "address_of",
    "current_person",
    "require_role",
    "role_required",
    "site_of",
]

#: Entry of an ASGI scope that holds who asks, for applications behind :class:`RoleGuard`.
PERSON_KEY: Final = "fits_dagster.person"


class SignInNeededError(Exception):
    """Nobody is signed in; a page sends its visitor to the login form, and back afterwards."""


def site_of(request: Request) -> Site:
    """Return the site that this app serves."""
    site: Site = request.app.state.site
    return site


def address_of(request: Request) -> str:
    """Return the network address that a request comes from, see :mod:`fits_dagster.web.proxies`."""
    return request.client.host if request.client else "unknown"


def current_person(request: Request) -> Person | None:
    """Return who is signed in, or whose token for reading is shown; asked once for each request.

    A token that is shown counts alone, and never for what changes something.

    Raises
    ------
    fastapi.HTTPException
        403; the token that is shown is none, or not valid any more.
    """
    if not hasattr(request.state, "person"):
        site, bearer = site_of(request), bearer_of(request)
        if bearer is not None and request.method in SAFE_METHODS:
            shown = judge(site, bearer)
            if shown.fault:
                raise HTTPException(403, shown.fault)
            request.state.person = shown.owner
        else:
            cookie = request.cookies.get(session_cookie(site.name))
            request.state.person = find_session(site.engine, cookie)
    person: Person | None = request.state.person
    return person


def require_role(request: Request, role: Role, *, is_page: bool = False) -> Person:
    """Refuse everybody who has not at least the rights of a role.

    Parameters
    ----------
    is_page
        Send somebody who is not signed in to the login form instead of refusing.

    Raises
    ------
    fastapi.HTTPException
        403; the text names the role that is needed.
    SignInNeededError
        Nobody is signed in, and this is a page.
    """
    person = current_person(request)
    if person is None:
        if is_page:
            raise SignInNeededError
        raise HTTPException(403, f"this needs the role {role}: please log in with an account that has it")
    if not person.may(role):
        have = f"the role {person.role}" if person.role else "no role"
        raise HTTPException(403, f"this needs the role {role}; {person.username} has {have}")
    return person


def role_required(role: Role, *, is_page: bool = False) -> Callable[[Request], Person]:
    """Make the dependency that lets only those in who have a role, see :func:`require_role`."""

    def check(request: Request) -> Person:
        return require_role(request, role, is_page=is_page)

    return check


class RoleGuard:
    """Serve another application under a path, pages and websockets, for those who have a role.

    The inner application must know the path by itself: requests reach it with their path unchanged, and with
    who asks under :data:`PERSON_KEY` of their scope.
    """

    def __init__(self, app: ASGIApp, *, prefix: str, inner: ASGIApp, site: Site, role: Role) -> None:
        self.app = app
        self.prefix = prefix
        self.inner = inner
        self.site = site
        self.role = role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through who has the role; send others to the login page, or refuse them."""
        path = scope.get("path", "")
        if scope["type"] not in ("http", "websocket") or not (
            path == self.prefix or path.startswith(f"{self.prefix}/")
        ):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        person = await run_in_threadpool(
            find_session, self.site.engine, connection.cookies.get(session_cookie(self.site.name))
        )
        if person is not None and person.may(self.role):
            known: dict[str, Any] = {**scope, PERSON_KEY: person}
            await self.inner(known, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403})
        elif person is None and "text/html" in connection.headers.get("accept", ""):
            await RedirectResponse(login_address(connection.url), 302)(scope, receive, send)
        else:
            await refusal(403, f"this needs the role {self.role}")(scope, receive, send)
