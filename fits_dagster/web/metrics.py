"""``/metrics``: figures for Prometheus, for who has the token; without a token, for this machine."""

from __future__ import annotations

import secrets
from ipaddress import ip_address
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from fits_dagster.monitoring.collector import SiteMetrics
from fits_dagster.web.access import site_of

__all__ = ["router"]

router = APIRouter()

#: What a proxy adds: such a request is not of this machine, although it seems so.
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Tell the state of this site in Prometheus' text format."""
    token = site_of(request).settings.metrics_token.get_secret_value()
    # not every proxy says that it is one, so this machine counts only where there is no token
    if not (_has_token(request, token) if token else _is_local(request)):
        needed = "'Authorization: Bearer' with the metrics_token" if token else "to ask from this machine"
        raise HTTPException(403, f"this needs {needed}")
    figures: SiteMetrics = request.app.state.metrics
    return Response(figures.scrape(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _has_token(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    is_right = secrets.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return scheme.lower() == "bearer" and is_right


def _is_local(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False
