"""Forms of our pages: reading them, and the token that no other site can know."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qs

from fastapi import HTTPException, Request

from fits_dagster.web.access import site_of
from fits_dagster.web.accounts import session_cookie

__all__ = ["form_token", "read_form", "refuse_foreign_form"]

_MAX_FORM_BYTES: Final = 10_000


async def read_form(request: Request) -> dict[str, str]:
    """Read a urlencoded body, of which only the beginning counts; the last value of a field wins."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            break
    fields = parse_qs(body[:_MAX_FORM_BYTES].decode("utf-8", "replace"))
    return {name: values[-1] for name, values in fields.items()}


def form_token(request: Request) -> str:
    """Return the token that forms of this session carry: derived from the session cookie, which no other
    site can read."""
    secret = request.cookies.get(session_cookie(site_of(request).name), "")
    return hmac.new(secret.encode(), b"form", "sha256").hexdigest()


def refuse_foreign_form(request: Request, form: dict[str, str]) -> None:
    """Refuse a form that does not carry the session's token.

    Raises
    ------
    fastapi.HTTPException
        403.
    """
    if not hmac.compare_digest(form.get("token", "").encode(), form_token(request).encode()):
        raise HTTPException(403, "the form is stale or not ours; load the page again")
