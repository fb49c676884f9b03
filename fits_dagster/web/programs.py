"""Programs over HTTP: what is known of them, and ``POST /ingest_programs``, which makes it known."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from fits_dagster.ledger.management import write_audit
from fits_dagster.records.processing_tags import list_tags
from fits_dagster.records.programs import (
    Program,
    find_program,
    find_programs,
    publications_of,
    save_program,
)
from fits_dagster.web.access import address_of, current_person, site_of
from fits_dagster.web.answers import json_answer
from fits_dagster.web.credentials import credential_for
from fits_dagster.web.errors import refusal
from fits_dagster.web.pages import page
from fits_dagster.web.shapes import KnownProgram, SavedPrograms, body_of

__all__ = ["router"]

router = APIRouter()

_LARGEST_BODY: Final = 50_000_000


@router.get("/programinfojson/{program_id}", response_model=KnownProgram)
def program_json(request: Request, program_id: str) -> Response:
    """Tell what is known of a program."""
    return json_answer(request, _known(request, program_id))


@router.get("/programinfo/{program_id}", response_class=HTMLResponse)
def program_page(request: Request, program_id: str) -> Response:
    """Show what is known of a program."""
    known = _known(request, program_id)
    current_person(request)
    found = known["program_id"]
    rows = [
        (("Title", ""), (known["title"], "")),
        (("Investigators", ""), (known["pi_coi_names"], "")),
        (("Files", ""), (f"/summary/{found}", f"/summary/{quote(found)}")),
        *((("Publication", ""), (each, "")) for each in known["publications"]),
    ]
    return page(request, "table.html", title=found, columns=("What", "Value"), rows=rows)


@router.get("/programs", response_class=HTMLResponse)
@router.get("/programs/{rest:path}", response_class=HTMLResponse)
def programs_page(request: Request, rest: str = "") -> Response:
    """Show the programs that hold all words in their identifier, title or names."""
    current_person(request)
    with site_of(request).engine.connect() as connection:
        found = find_programs(connection, rest.replace("\x00", "").replace("/", " "))
    rows = [
        (
            (each.program_id, f"/programinfo/{quote(each.program_id)}"),
            (each.title, ""),
            (each.pi_coi_names, ""),
        )
        for each in found
    ]
    columns = ("Program", "Title", "Investigators")
    return page(request, "table.html", title=f"Programs: {rest or 'all'}", columns=columns, rows=rows)


@router.get("/processingtags", response_class=HTMLResponse)
def processing_tags(request: Request) -> Response:
    """Show the processing tags, and how many files carry each."""
    current_person(request)
    with site_of(request).engine.connect() as connection:
        uses = list_tags(connection)
    rows = [
        (
            (use.tag or "none", f"/summary/processing_tag={quote(use.tag, safe='')}" if use.tag else ""),
            (use.known.domain if use.known else "", ""),
            (str(use.known.priority) if use.known else "", ""),
            ("yes" if use.known and use.known.published else "no", ""),
            (str(use.files), ""),
        )
        for use in uses
    ]
    columns = ("Tag", "Domain", "Priority", "Published", "Files")
    return page(request, "table.html", title="Processing tags", columns=columns, rows=rows)


@router.post("/ingest_programs", response_model=SavedPrograms, openapi_extra=body_of("application/json"))
async def ingest_programs(request: Request) -> Response:
    """Take a list of programs, each an object with ``id``, ``title`` and ``investigator_names``."""
    site = site_of(request)
    shown = await credential_for(request, "upload", action="programs")
    if why := shown.refusal_of("upload"):
        return refusal(403, f"not authorized: {why}")
    address = address_of(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            return refusal(413, "the list is too large")
    try:
        programs = _read(bytes(body))
    except ValueError as error:
        return refusal(400, str(error))

    def save() -> None:
        with site.engine.begin() as connection:
            write_audit(connection, shown.at(address), "programs", f"{len(programs)} came")
            for each in programs:
                save_program(connection, each)

    await run_in_threadpool(save)
    return json_answer(request, {"programs": len(programs)})


def _read(body: bytes) -> list[Program]:
    """Read the list.

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        items = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("the body is no JSON") from error
    if not isinstance(items, list):
        raise ValueError("the body is no list")
    return [_program(item) for item in items]


def _program(item: Any) -> Program:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not item["id"].strip():
        raise ValueError("a program has no id")
    texts = {
        name: str(item.get(key) or "").encode("utf-8", "replace").decode().replace("\x00", "")
        for name, key in (("pi_coi_names", "investigator_names"), ("title", "title"), ("program_id", "id"))
    }
    return Program(**{**texts, "program_id": texts["program_id"].strip().upper()})


def _known(request: Request, program_id: str) -> dict[str, Any]:
    asked = program_id.replace("\x00", "").upper()
    with site_of(request).engine.connect() as connection:
        found = find_program(connection, asked)
        if found is None:
            raise HTTPException(404, "nothing is known of this program")
        return vars(found) | {"publications": _publications(connection, asked)}


def _publications(connection: Connection, program_id: str) -> list[str]:
    return list(publications_of(connection, program_id))
