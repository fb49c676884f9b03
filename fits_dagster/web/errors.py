"""Errors of routes: one shape for programs, one page for people.

Programs get ``{"error": "what happened"}`` with the status. Two families answer as their clients expect
instead: the calibration manager (``/jsoncalmgr``, ``/xmlcalmgr``) with an XML comment, downloads with a line
of text.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fits_dagster.records.selection import BadSelectionError
from fits_dagster.web.pages import page

__all__ = ["add_error_handlers", "refusal"]


def refusal(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer of a machine route that refuses."""
    return JSONResponse({"error": reason}, status, headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Let every error of an application have its shape."""

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return page(request, "refused.html", status=error.status_code, detail=error.detail)
        return refusal(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(BadSelectionError)
    async def refuse_selection(request: Request, error: BadSelectionError) -> Response:
        return await refuse(request, HTTPException(400, str(error)))

    @app.exception_handler(RequestValidationError)
    async def refuse_values(request: Request, error: RequestValidationError) -> Response:
        faults = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return await refuse(request, HTTPException(422, "; ".join(faults)))

    @app.exception_handler(ClientDisconnect)
    async def give_up(request: Request, error: ClientDisconnect) -> Response:
        return refusal(408, "the body did not come", {"Connection": "close"})
