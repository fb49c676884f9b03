"""Where a request comes from: pages of others must not act through the browser of one who is signed in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

__all__ = ["SAFE_METHODS", "is_foreign", "is_known_host"]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Names of this machine that are always right.
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def is_foreign(headers: Headers, names: Collection[str] = ()) -> bool:
    """Tell whether a browser sends this for a page of another site. Programs say nothing of an origin.

    Parameters
    ----------
    names
        Host names of this site besides the one that was asked, as a proxy may change that.
    """
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        parts = urlsplit(origin)
        host = parts.hostname
    except ValueError:
        return True
    is_same = bool(parts.netloc) and parts.netloc.lower() == headers.get("host", "").lower()
    return not is_same and host not in {name.lower() for name in names}


def is_known_host(headers: Headers, names: Collection[str]) -> bool:
    """Tell whether a request asks for one of this site's host names; without such names any will do."""
    if not names:
        return True
    try:
        host = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return False
    return host in _LOCAL | {name.lower() for name in names}
