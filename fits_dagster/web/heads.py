"""HEAD as GET without the body, and the headers that every answer carries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import anyio
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from fits_dagster.web.dagster_ui import DAGSTER_PREFIX
from fits_dagster.web.errors import refusal
from fits_dagster.web.origin import SAFE_METHODS, is_foreign, is_known_host
from fits_dagster.web.selecting import NOT_UNDERSTOOD_HEADER, not_understood

__all__ = ["EveryAnswer", "is_head"]

_HEAD_KEY: Final = "fits_dagster.head"

#: Nothing from elsewhere, nothing of ours in anybody's frame, and no guess at what a body is.
_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
#: The Dagster UI brings its own policy; its workers get theirs with their scripts.
_FRAMES: Final = "frame-ancestors 'none'"
_SAFE: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def is_head(request: Request) -> bool:
    """Tell whether only the headers of an answer are asked for."""
    return bool(request.scope.get(_HEAD_KEY))


class EveryAnswer:
    """What holds for every answer, whichever part of the application gives it."""

    def __init__(
        self, app: ASGIApp, *, bare: frozenset[str], host_names: Collection[str], silence_seconds: float
    ) -> None:
        self.app = app
        self.silence_seconds = silence_seconds
        self.host_names = host_names
        #: Paths that take elements behind a slash; without any the slash may be missing.
        self.bare = bare

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what foreign pages send, answer HEAD as GET, and add the headers that are missing."""
        if scope["type"] == "websocket" and is_foreign(Headers(scope=scope), self.host_names):
            await WebSocketClose(4403)(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        only_head = scope["method"] == "HEAD"
        known: dict[str, Any] = {**scope, "state": scope.setdefault("state", {})}
        if scope["path"] in self.bare:
            known |= {"path": f"{scope['path']}/", "raw_path": f"{scope['path']}/".encode()}
        if only_head:
            known |= {"method": "GET", _HEAD_KEY: True}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                _complete(MutableHeaders(scope=message), known)
            elif only_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._application(scope)(known, _while_it_comes(receive, self.silence_seconds), answer)

    def _application(self, scope: Scope) -> ASGIApp:
        """Return what answers a request: the application, or a refusal."""
        headers = Headers(scope=scope)
        if not is_known_host(headers, self.host_names):
            return refusal(421, "this server does not go by that name")
        if scope["method"] not in SAFE_METHODS and is_foreign(headers, self.host_names):
            return refusal(403, "this comes from a page of another site")
        return self.app


def _while_it_comes(receive: Receive, seconds: float) -> Receive:
    """Give a request's body up, as if its sender had gone away, when no byte of it comes for so long."""
    is_over = False

    async def next_message() -> Message:
        nonlocal is_over
        if is_over:
            return await receive()
        try:
            with anyio.fail_after(seconds):
                message = await receive()
        except TimeoutError:
            message = {"type": "http.disconnect"}
        is_over = not message.get("more_body", False)
        return message

    return next_message


def _complete(headers: MutableHeaders, scope: Scope) -> None:
    for name, value in _SAFE.items():
        headers.setdefault(name, value)
    is_dagster = scope["path"].startswith(f"{DAGSTER_PREFIX}/")
    if not is_dagster and not scope["path"].startswith("/static/"):
        headers.setdefault("Cache-Control", "no-cache")
    policy = headers.get("content-security-policy")
    if policy is None:
        headers["Content-Security-Policy"] = _FRAMES if is_dagster else _POLICY
    elif "frame-ancestors" not in policy:
        headers["Content-Security-Policy"] = f"{policy.rstrip('; ')}; frame-ancestors 'none'"
    left_out = scope["state"].get("not_understood")
    if left_out:
        headers[NOT_UNDERSTOOD_HEADER] = not_understood(left_out)
