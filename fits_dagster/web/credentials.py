"""Credentials of requests that change something.

A credential comes as ``Authorization: Bearer …``, or as the value of the cookie that clients of the reference
send.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from fits_dagster.destinations.fits_server import API_COOKIE, UPLOAD_COOKIE
from fits_dagster.ledger.management import write_refusal
from fits_dagster.web.access import address_of, site_of
from fits_dagster.web.rights import Credential, bearer_of, judge
from fits_dagster.web.tokens import Right

__all__ = ["credential_for"]

_COOKIES: Final[Mapping[Right, str]] = {"upload": UPLOAD_COOKIE, "edit": API_COOKIE}


async def credential_for(request: Request, right: Right, *, action: str, about: str = "") -> Credential:
    """Judge the credential of a request for something; a refusal leaves a row in the audit.

    Returns
    -------
    Credential
        Whose :meth:`Credential.refusal_of` says whether the request may go on.
    """
    site, address = site_of(request), address_of(request)

    def decide() -> Credential:
        found = judge(site, _given(request, right))
        refused = found.refusal_of(right)
        if refused:
            with site.engine.begin() as connection:
                write_refusal(connection, address, f"{action} refused", f"{about}: {refused}".lstrip(": "))
        return found

    return await run_in_threadpool(decide)


def _given(request: Request, right: Right) -> str | None:
    bearer = bearer_of(request)
    return request.cookies.get(_COOKIES[right]) if bearer is None else bearer
