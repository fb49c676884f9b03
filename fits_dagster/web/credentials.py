"""Credentials of programs: what a cookie of the settings, or a token, allows.

A credential comes as ``Authorization: Bearer …``, or as the value of the cookie that clients of the reference
send. It has rights: ``upload`` (files, and what is known of programs) or ``edit`` (headers); a token has one
of them, a value of the settings those of the settings that name it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool

from fits_dagster.destinations.fits_server import API_COOKIE, UPLOAD_COOKIE
from fits_dagster.ledger.management import write_refusal
from fits_dagster.sites import Site
from fits_dagster.web.access import address_of, site_of
from fits_dagster.web.tokens import Right, find_token

__all__ = ["Credential", "credential_for", "judge"]

_COOKIES: Final[Mapping[Right, str]] = {"upload": UPLOAD_COOKIE, "edit": API_COOKIE}


@dataclass(frozen=True)
class Credential:
    """What is known of a credential that was shown."""

    #: What the audit calls it.
    holder: str
    rights: frozenset[Right]
    #: Why it allows nothing; empty when it does.
    fault: str = ""
    is_token: bool = False

    def at(self, address: str) -> str:
        """Return who acts, for the audit: a token by its name, else the address."""
        return f"{self.holder} at {address}" if self.is_token else address

    def refusal_of(self, right: Right) -> str:
        """Return why it does not allow something; empty when it does."""
        if self.fault or right in self.rights:
            return self.fault
        return f"{self.holder} allows {' and '.join(sorted(self.rights))}, not {right}"


def judge(site: Site, given: str | None) -> Credential:
    """Decide what a credential allows: the one place that does."""
    if not given:
        return Credential("nobody", frozenset(), "no credential")
    named: dict[Right, Iterable[SecretStr]] = {
        "upload": site.settings.upload_cookies,
        "edit": site.settings.api_cookies,
    }
    rights = frozenset(right for right, accepted in named.items() if _is_among(given, accepted))
    if rights:
        return Credential("a cookie of the settings", rights)
    token = find_token(site.engine, given)
    if token is None:
        return Credential("nobody", frozenset(), "unknown credential")
    fault = f"the token {token.name} {token.fault}" if token.fault else ""
    return Credential(f"token {token.name}", frozenset((token.scope,)), fault, is_token=True)


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
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.cookies.get(_COOKIES[right])


def _is_among(given: str, accepted: Iterable[SecretStr]) -> bool:
    """Compare a value with the accepted ones, in constant time; one may be a JSON list of values."""
    values: list[str] = []
    for secret in accepted:
        value = secret.get_secret_value()
        try:
            listed = json.loads(value)
        except ValueError:
            listed = None
        values += [str(v) for v in listed] if isinstance(listed, list) else [value]
    raw = given.encode("utf-8", "replace")
    return any([bool(v) and hmac.compare_digest(v.encode(), raw) for v in values])
