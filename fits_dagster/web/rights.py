"""What a credential of a program allows: a cookie of the settings, or a token.

It has rights: ``upload`` (files, and what is known of programs), ``edit`` (headers) or ``read`` (what its
owner may see); a token has one of them, a value of the settings those of the settings that name it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.requests import HTTPConnection

from fits_dagster.sites import Site
from fits_dagster.web.accounts import Person
from fits_dagster.web.tokens import Right, find_token

__all__ = ["Credential", "bearer_of", "judge"]


def bearer_of(connection: HTTPConnection) -> str | None:
    """Return the credential that a request shows as ``Authorization: Bearer``."""
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


@dataclass(frozen=True)
class Credential:
    """What is known of a credential that was shown."""

    #: What the audit calls it.
    holder: str
    rights: frozenset[Right]
    #: Why it allows nothing; empty when it does.
    fault: str = ""
    is_token: bool = False
    #: Whose rights a token for reading has.
    owner: Person | None = None

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
    holder, rights = f"token {token.name}", frozenset((token.scope,))
    return Credential(holder, rights, fault, is_token=True, owner=token.owner)


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
