"""``/searchform``: what an astronomer asks for, and what there is; the address is the selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Connection, Row

from fits_dagster.records import paging
from fits_dagster.records.files import has_preview
from fits_dagster.records.known_settings import known_settings
from fits_dagster.records.selection import (
    BadSelectionError,
    Ordering,
    Selection,
    path_elements,
    read_ordering,
)
from fits_dagster.records.selection.vocabulary import INSTRUMENTS
from fits_dagster.records.tables import diskfile, header
from fits_dagster.web.access import site_of
from fits_dagster.web.columns import COLUMNS, Column, about, cells_of, chosen_columns
from fits_dagster.web.names import NameServiceError, UnknownNameError, position_of
from fits_dagster.web.pages import page
from fits_dagster.web.search_fields import FIELDS, GROUPS, fields_of, selection_of
from fits_dagster.web.selecting import SelectionPath, read_selection
from fits_dagster.web.shapes import leads_to
from fits_dagster.web.versions import key_of, versions_query
from fits_dagster.web.visibility import Viewer, viewer_of

__all__ = ["router"]

router = APIRouter()

_FEATURE: Final = "searchform"
#: Files of a page that may be asked for.
_SHOWN: Final = (50, 100, 250, 500)
_USUAL: Final = "FTLICYOWEQ"
_GMOS: Final = ("GMOS-N", "GMOS-S")
#: The button of the form, and that of the columns.
_SEARCH, _CHOOSE = "search", "columns"
#: The field of an object's name, which becomes a position.
_TARGET: Final = "target"


@router.get(
    "/searchform/{rest:path}", response_class=HTMLResponse, responses=leads_to("the selection of a form")
)
def search_page(
    request: Request,
    rest: SelectionPath,
    orderby: Annotated[str, Query(description="`column`, `column_asc` or `column_desc`.")] = "",
    after: Annotated[str, Query(description="Cursor of the page before.")] = "",
    show: Annotated[int, Query(ge=1, le=_SHOWN[-1], description="Files of a page.")] = _SHOWN[0],
    view: Annotated[str, Query(alias="as", description="`pictures`, or a table.")] = "",
) -> Response:
    """Show the search form and, for a selection, its files: a table or pictures, in pages."""
    elements = path_elements(request.scope.get("raw_path") or b"", _FEATURE)
    form = dict(request.query_params)
    resolver = site_of(request).settings.name_resolver_url
    problem = ""
    if _SEARCH in form:
        try:
            form |= _position(resolver, form.get(_TARGET, ""))
        except (UnknownNameError, NameServiceError) as error:
            problem = f"{error}."
        else:
            kept = [each for each in elements if each.startswith("cols=")]
            return RedirectResponse(_address([*selection_of(form), *kept], _settings(form)), 302)
    if _CHOOSE in form:
        letters = "".join(letter for letter in request.query_params.getlist("col") if letter in COLUMNS)
        others = [each for each in elements if not each.startswith("cols=")]
        return RedirectResponse(
            _address([*others, f"cols={letters}"] if letters else others, _settings(form)), 302
        )
    viewer = viewer_of(request)
    known: dict[str, Any] = {}
    asked = [each for each in elements if not each.startswith("cols=")]
    with site_of(request).engine.connect() as connection:
        if asked:
            try:
                known = _results(request, connection, viewer, elements, _ordering(orderby), after, show)
            except BadSelectionError as error:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                problem = str(error)
        values = fields_of(elements) if asked else {each.name: each.usual for each in FIELDS if each.usual}
        if _SEARCH in form:
            values = form
        settings = _known_settings(connection, values.get("instrument", ""))
    return page(
        request,
        "search.html",
        status=400 if problem else 200,
        problem=problem,
        elements=asked,
        groups=GROUPS,
        fields=[each for each in FIELDS if _is_shown(each.setting, each.name, settings, values)],
        values=values,
        settings=settings,
        target=form.get(_TARGET, "") if resolver else None,
        show=show,
        shown_choices=_SHOWN,
        as_pictures=view == "pictures",
        all_columns=COLUMNS,
        **known,
    )


def _position(resolver: str, name: str) -> dict[str, str]:
    """Return the fields of the position of an object; none where no name is given."""
    if not resolver or not name.strip():
        return {}
    ra, dec = position_of(resolver, name)
    return {"ra": f"{ra:.6f}", "dec": f"{dec:.6f}"}


def _results(
    request: Request,
    connection: Connection,
    viewer: Viewer,
    elements: Sequence[str],
    ordering: Ordering | None,
    after: str,
    show: int,
) -> dict[str, Any]:
    selection = read_selection(request, _FEATURE)
    selection.conditions.setdefault("canonical", diskfile.c.canonical)
    selection.conditions["has_header"] = header.c.id.is_not(None)
    ordering = ordering or next(iter(selection.orderings), None)
    query = versions_query().add_columns(has_preview().label("has_preview")).where(selection.where)
    found = paging.read_page(
        connection, query, ordering=ordering, hidden=viewer.hidden_position(), cursor=after, limit=show
    )
    count = paging.count_up_to(connection, query) if after or found.cursor else len(found.rows)
    columns = chosen_columns(elements, _USUAL)
    link = _address(elements, {})
    return {
        "rows": [_shown_row(row, columns, viewer) for row in found.rows],
        "columns": [(each.title, _order_link(request, each, ordering)) for each in columns],
        "chosen": [letter for letter, each in COLUMNS.items() if each in columns],
        "count": count,
        "counted": paging.COUNTED,
        "ordering": ordering,
        "first": _with(request, after=None) if after else "",
        "next": _with(request, after=found.cursor) if found.cursor else "",
        "table_link": _with(request, **{"as": None}),
        "pictures_link": _with(request, **{"as": "pictures"}),
        "path": link.removeprefix(f"/{_FEATURE}/"),
        "as_query": urlencode({"select": _path(_without_aside(selection))}),
    }


def _shown_row(row: Row[Any], columns: Sequence[Column], viewer: Viewer) -> dict[str, Any]:
    place = quote(f"{row.path}/{row.name}" if row.path else row.name)
    sees = viewer.sees_file(row)
    return {
        "name": row.name,
        "about": about(row),
        "cells": cells_of(row, columns, viewer),
        "key": key_of(row) if sees and row.present else "",
        "picture": f"/preview/{place}?width=240" if sees and row.has_preview else "",
        "is_released": sees,
        "record": row,
        "sees_position": viewer.sees_position(row),
    }


def _order_link(request: Request, column: Column, ordering: Ordering | None) -> tuple[str, str]:
    """Return the address of the list in the order of a column, and the order that it has by it now."""
    if not column.order:
        return "", ""
    is_this = ordering is not None and ordering.column == column.order
    way = "" if not is_this or ordering is None else "descending" if ordering.is_descending else "ascending"
    asked = f"{column.order}_desc" if way == "ascending" else column.order
    return _with(request, orderby=asked, after=None), way


def _ordering(text: str) -> Ordering | None:
    found = read_ordering(text) if text else None
    if text and found is None:
        raise BadSelectionError(f"there is no order by {text[:40]!r}")
    return found


def _known_settings(connection: Connection, instrument: str) -> Mapping[str, Sequence[str]]:
    if not instrument:
        return {}
    official = {name.lower(): name for name in INSTRUMENTS}.get(instrument.lower(), instrument)
    return known_settings(connection, _GMOS if official == "GMOS" else (official,))


def _is_shown(
    setting: str, name: str, settings: Mapping[str, Sequence[str]], values: Mapping[str, str]
) -> bool:
    """Tell whether a field is shown: an instrument has fields of its own."""
    return not settings or not setting or bool(settings[setting]) or name in values


def _without_aside(selection: Selection) -> list[str]:
    return [each for each in selection.elements if not each.startswith(("cols=", "orderby="))]


def _settings(form: Mapping[str, str]) -> dict[str, str]:
    return {name: form[name] for name in ("orderby", "show", "as") if form.get(name)}


def _address(elements: Sequence[str], settings: Mapping[str, str]) -> str:
    query = f"?{urlencode(settings)}" if settings else ""
    return f"/{_FEATURE}/{_path(elements)}{query}"


def _path(elements: Sequence[str]) -> str:
    return "/".join(quote(each.replace("/", "=slash="), safe="=:,+*") for each in elements)


def _with(request: Request, **changed: str | None) -> str:
    """Return the address of this page with some settings changed; None takes one away."""
    settings = {**request.query_params, **changed}
    query = urlencode({name: value for name, value in settings.items() if value})
    path = (
        quote(request.scope["path"], safe="/=:,+*")
        if not request.scope.get("raw_path")
        else (request.scope["raw_path"].decode("ascii", "replace").split("?")[0])
    )
    return f"{path}?{query}" if query else path
