"""The calibration manager: which calibrations suit a file, of the archive or described by the client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote
from xml.etree import ElementTree

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from sqlalchemy import Connection

from fits_dagster.calibration.lookup import answers_of
from fits_dagster.calibration.requests import RequestError, answer_request
from fits_dagster.calibration.rules import CALTYPES
from fits_dagster.nights import FileKey
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.records.selected import targets_query
from fits_dagster.records.selection import path_elements
from fits_dagster.records.tables import diskfile, file, header
from fits_dagster.web.access import site_of
from fits_dagster.web.answers import json_answer, xml_answer
from fits_dagster.web.descriptions import MAX_DESCRIPTION_BYTES, DescriptionError, read_description
from fits_dagster.web.explained import explained
from fits_dagster.web.selecting import SelectionPath, read_selection
from fits_dagster.web.shapes import CALIBRATION_ERRORS, CalibrationTarget, body_of, content
from fits_dagster.web.versions import NO_CACHE
from fits_dagster.web.xmllist import add_texts

__all__ = ["router"]

router = APIRouter()

_MOST_TARGETS: Final = 2000
_JSON: Final[dict[str, Any]] = {
    "response_model": list[CalibrationTarget],
    "responses": CALIBRATION_ERRORS,
}
_XML: Final[dict[str, Any]] = {
    "response_class": Response,
    "responses": content("text/xml") | CALIBRATION_ERRORS,
}
_TAGS: Final = {"type": "array", "items": {"type": "string"}}
_DESCRIBED: Final[dict[str, Any]] = {
    "openapi_extra": body_of(
        "application/json",
        {
            "type": "object",
            "properties": {"tags": _TAGS, "descriptors": {"type": "object"}},
            "required": ["tags", "descriptors"],
        },
    )
}
_NAMESPACE: Final = "http://www.gemini.edu/xml/gsaCalibrations/v1.0"


@dataclass(frozen=True)
class _Calibration:
    """A file that the client can fetch."""

    label: str | None
    name: str
    #: Of the file as it is stored, which is what the address gives.
    md5: str
    url: str


@dataclass(frozen=True)
class _Target:
    """A file with its calibrations by type, best first; None where a rule could not be evaluated."""

    label: str | None
    filename: str | None
    md5: str | None
    found: Mapping[str, Sequence[_Calibration] | None]


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_DESCRIPTION_BYTES:
            raise HTTPException(413, f"a description has at most {MAX_DESCRIPTION_BYTES} bytes")
    return body


@router.get("/jsoncalmgr/{rest:path}", **_JSON)
@router.get("/xmlcalmgr/{rest:path}", **_XML)
@router.get("/calmgr/{rest:path}", **_XML)
def of_files(request: Request, rest: SelectionPath) -> Response:
    """Tell the calibrations of the archive's files that a selection names, newest first.

    Without a type among the elements all types are told.
    """
    site = site_of(request)
    elements = _elements(request)
    caltype = _caltype(elements)
    selection = read_selection(request, request.url.path.split("/")[1], without=CALTYPES)
    if selection.is_open:
        return _refused(406, "the selection names neither a date, nor a program, nor a file")
    query = targets_query(
        selection.where & (header.c.qa_state != "Fail"),
        header.c.data_label,
        file.c.name,
        diskfile.c.data_md5,
        most=_MOST_TARGETS,
    )
    with site.engine.connect() as connection:
        rows = connection.execute(query).all()
        found = answers_of(connection, [row.id for row in rows], [caltype] if caltype else CALTYPES)
        known = _calibrations(connection, request, (i for ids in found.values() for i in ids or ()))
    return _answer(
        request,
        [
            _Target(
                row.data_label,
                row.name,
                row.data_md5,
                {
                    each: _present(found.get((row.id, each), ()), known)
                    for each in ([caltype] if caltype else CALTYPES)
                },
            )
            for row in rows
        ],
    )


@router.post("/jsoncalmgr/{rest:path}", **_JSON, **_DESCRIBED)
@router.post("/xmlcalmgr/{rest:path}", **_XML, **_DESCRIBED)
@router.post("/calmgr/{rest:path}", **_XML, **_DESCRIBED)
def of_a_description(
    request: Request, rest: SelectionPath, body: Annotated[bytes, Depends(_body)]
) -> Response:
    """Tell the calibrations of one type of a file that the body describes; the file may be unknown here."""
    caltype = _caltype(_elements(request))
    if caltype is None:
        return _refused(405, "the URL names no type of calibration")
    try:
        description = read_description(body)
        with site_of(request).engine.connect() as connection:
            found = answer_request(connection, description.descriptors, description.tags, caltype)
            known = _calibrations(connection, request, found or ())
    except (DescriptionError, RequestError) as error:
        return _refused(400, str(error))
    label = description.descriptors["data_label"]
    if label is not None:
        # half of a pair that encodes one letter is no text that could be sent
        label = label.encode("utf-8", "replace").decode("utf-8")
    return _answer(request, [_Target(label, None, None, {caltype: _present(found, known)})])


@router.get("/calibrations/why/{rest:path}")
def why(request: Request, rest: str) -> JSONResponse:
    """Explain the calibrations of a file: ``<name>`` for all types that it needs, or ``<name>/<type>``."""
    name, slash, last = rest.rstrip("/").rpartition("/")
    caltype = last if slash and last in CALTYPES else None
    asked = name if caltype else rest.rstrip("/")
    return JSONResponse(explained(request, asked, caltype), headers=NO_CACHE)


def _elements(request: Request) -> list[str]:
    return path_elements(request.scope.get("raw_path") or b"", request.url.path.split("/")[1])


def _caltype(elements: Iterable[str]) -> str | None:
    return next((each for each in reversed(list(elements)) if each in CALTYPES), None)


def _calibrations(connection: Connection, request: Request, ids: Iterable[int]) -> dict[int, _Calibration]:
    """Return what is told of calibrations, of those whose file is present."""
    base = str(request.base_url)
    found = {}
    for row in connection.execute(RECORDS["calibration_files"], {"ids": sorted(set(ids))}):
        place = quote(str(FileKey(row.path, row.filename)))
        found[row.id] = _Calibration(row.data_label, row.name, row.file_md5, f"{base}file/{place}")
    return found


def _present(found: Sequence[int] | None, known: Mapping[int, _Calibration]) -> Sequence[_Calibration] | None:
    return None if found is None else [known[each] for each in found if each in known]


def _refused(status: int, reason: str) -> PlainTextResponse:
    return PlainTextResponse(f"<!-- Error: {reason} -->\n", status, headers=NO_CACHE)


def _answer(request: Request, targets: Sequence[_Target]) -> Response:
    if request.url.path.startswith("/jsoncalmgr"):
        return json_answer(request, [_as_json(each) for each in targets])
    return xml_answer(request, _as_xml(targets))


def _as_json(target: _Target) -> dict[str, Any]:
    return {
        "label": target.label,
        "filename": target.filename,
        "md5": target.md5,
        "cal_info": [
            {
                "error": cals is None,
                "type": caltype,
                "cals": None if cals is None else [vars(c) for c in cals],
            }
            for caltype, cals in target.found.items()
        ],
    }


def _as_xml(targets: Sequence[_Target]) -> bytes:
    root = ElementTree.Element("calibration_associations", {"xmlns": _NAMESPACE})
    for target in targets:
        dataset = ElementTree.SubElement(root, "dataset")
        add_texts(dataset, {"datalabel": target.label or ""})
        if target.filename is not None:
            add_texts(dataset, {"filename": target.filename, "md5": target.md5 or ""})
        for caltype, calibrations in target.found.items():
            if not calibrations:
                problem = "could not be worked out" if calibrations is None else "none found"
                dataset.append(ElementTree.Comment(f" {caltype}: {problem} "))
            for each in calibrations or ():
                values = {"caltype": caltype, "datalabel": each.label or "", "filename": each.name}
                add_texts(
                    ElementTree.SubElement(dataset, "calibration"),
                    values | {"md5": each.md5, "url": each.url},
                )
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written
