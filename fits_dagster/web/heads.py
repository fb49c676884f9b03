"""HEAD as GET without the body, and the headers that every answer carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fits_dagster.web.selecting import NOT_UNDERSTOOD_HEADER, not_understood

__all__ = ["EveryAnswer", "is_head"]

_HEAD_KEY: Final = "fits_dagster.head"

#: Nothing from elsewhere, nothing of ours in anybody's frame, and no guess at what a body is.
_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_SAFE: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_head(request: Request) -> bool:
    """Tell whether only the headers of an answer are asked for."""
    return bool(request.scope.get(_HEAD_KEY))


class EveryAnswer:
    """What holds for every answer, whichever part of the application gives it."""

    def __init__(self, app: ASGIApp, *, bare: frozenset[str]) -> None:
        self.app = app
        #: Paths that take elements behind a slash; without any the slash may be missing.
        self.bare = bare

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer HEAD as GET, and add the headers that are missing."""
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

        await self.app(known, receive, answer)


def _complete(headers: MutableHeaders, scope: Scope) -> None:
    for name, value in _SAFE.items():
        headers.setdefault(name, value)
    policy = headers.get("content-security-policy")
    if policy is None:
        headers["Content-Security-Policy"] = _POLICY
    elif "frame-ancestors" not in policy:
        headers["Content-Security-Policy"] = f"{policy.rstrip('; ')}; frame-ancestors 'none'"
    left_out = scope["state"].get("not_understood")
    if left_out:
        headers[NOT_UNDERSTOOD_HEADER] = not_understood(left_out)
