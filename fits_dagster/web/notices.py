"""What a button did, said once on the next page: it travels in a cookie, and is escaped like any text."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

from fastapi import Request
from fastapi.responses import Response

__all__ = ["forget_notice", "leave_notice", "notice_of"]

_SECONDS: Final = 60
_LONGEST: Final = 500


def leave_notice(request: Request, response: Response, text: str) -> None:
    """Have the next page say something."""
    response.set_cookie(
        _name(request), quote(text[:_LONGEST], safe=""), _SECONDS, httponly=True, samesite="strict"
    )


def notice_of(request: Request) -> str:
    """Return what is to be said; empty if nothing is."""
    return unquote(request.cookies.get(_name(request), ""))[:_LONGEST]


def forget_notice(request: Request, response: Response) -> None:
    """Say it only once."""
    response.delete_cookie(_name(request), httponly=True, samesite="strict")


def _name(request: Request) -> str:
    # sites on one host share all cookies
    return f"notice_{request.app.state.site.name}"
