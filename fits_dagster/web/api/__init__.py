"""``/api/v1``: records, files, calibrations, nights and events for programs of today.

Answers are JSON objects; lists come in pages with the address of the next; every parameter is understood or
refused; errors have the one shape of :mod:`fits_dagster.web.errors`. Who asks is told by a session or by a
token for reading.
"""

from __future__ import annotations

from fastapi import APIRouter

from fits_dagster.web.api import calibrations, events, nights, obscore, records

__all__ = ["PREFIX", "router"]

PREFIX = "/api/v1"

router = APIRouter(prefix=PREFIX)
for _part in (records, calibrations, nights, events, obscore):
    router.include_router(_part.router)
