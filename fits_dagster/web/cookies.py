"""Cookies by which other programs show that they may write: uploads, header edits."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable

from pydantic import SecretStr

__all__ = ["is_accepted"]


def is_accepted(given: str | None, accepted: Iterable[SecretStr]) -> bool:
    """Compare a cookie with the accepted values, in constant time; a value may be a JSON list of values."""
    values: list[str] = []
    for secret in accepted:
        value = secret.get_secret_value()
        try:
            listed = json.loads(value)
        except ValueError:
            listed = None
        values += [str(v) for v in listed] if isinstance(listed, list) else [value]
    return bool(given) and any(v and hmac.compare_digest(v.encode(), str(given).encode()) for v in values)
