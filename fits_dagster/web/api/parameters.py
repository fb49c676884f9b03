"""The selection of a request as query parameters: a parameter for each row of the grammar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import Request

from fits_dagster.records.selection import (
    GRAMMAR,
    BadSelectionError,
    Ordering,
    Selection,
    Term,
    read_ordering,
)
from fits_dagster.records.selection.ordering import ORDER_COLUMNS
from fits_dagster.records.tables import diskfile, header
from fits_dagster.web.selecting import read_selection

__all__ = ["described", "ordering_of", "select_by_query"]

#: The selection as a path has it, for who has one.
_AS_PATH: Final = "select"
_ORDER: Final = "orderby"
#: Rows that are no part of a selection here.
_APART: Final = frozenset({"cols", "orderby"})
_FLAGS: Final = {"true": True, "false": False}


def _parameters() -> Mapping[str, Term]:
    """Return the row of the grammar of each parameter."""
    rows = [term for term in GRAMMAR if term.key not in _APART]
    return {term.key: term for term in rows} | {name: term for term in rows for name in term.names}


def described(*, order: bool = True) -> dict[str, Any]:
    """Describe the parameters, for OpenAPI."""
    described_terms = [
        _described(term.names[0] if term.names else term.key, _help(term))
        for term in GRAMMAR
        if term.key not in _APART
    ]
    described_terms.append(
        _described(_AS_PATH, "A selection as it stands in a path: elements separated by `/`.")
    )
    if order:
        described_terms.append(
            _described(_ORDER, f"`column`, `column_asc` or `column_desc`: {', '.join(ORDER_COLUMNS)}")
        )
    return {"parameters": described_terms}


def select_by_query(request: Request, *others: str) -> Selection:
    """Read a selection from the query; of versions that have a record, only the current ones by default.

    Parameters
    ----------
    others
        Parameters that mean something else to the caller.

    Raises
    ------
    BadSelectionError
        A parameter is unknown, or its value is none that it can have.
    """
    selection = read_selection(request, "", elements=list(_elements(request, {*others, _ORDER})))
    if selection.not_recognised:
        raise BadSelectionError(f"not understood: {', '.join(selection.not_recognised)}; see /help")
    selection.conditions.setdefault("canonical", diskfile.c.canonical)
    selection.conditions["has_header"] = header.c.id.is_not(None)
    return selection


def ordering_of(request: Request) -> Ordering | None:
    """Return the order that is asked for.

    Raises
    ------
    BadSelectionError
        There is no such column, or more than one is asked for.
    """
    asked = request.query_params.getlist(_ORDER)
    if len(asked) > 1:
        raise BadSelectionError("pages have one order")
    found = read_ordering(asked[0]) if asked else None
    if asked and found is None:
        raise BadSelectionError(f"there is no order by {asked[0]!r}; there is {', '.join(ORDER_COLUMNS)}")
    return found


def _elements(request: Request, others: set[str]) -> Iterator[str]:
    known = _parameters()
    for name, value in request.query_params.multi_items():
        if name == _AS_PATH:
            yield from (each.replace("=slash=", "/") for each in value.split("/") if each)
        elif name in known:
            yield _element(known[name], name, value)
        elif name not in others:
            raise BadSelectionError(f"there is no parameter {name[:40]!r}; see /help and /openapi.json")


def _element(term: Term, name: str, value: str) -> str:
    """Write a parameter as an element of a path."""
    if name in term.names and term.read is not None:
        return f"{name}={value}"
    flag = _FLAGS.get(value.lower())
    word = (
        next((each for each, means in term.words.items() if means is flag), None)
        if flag is not None
        else None
    )
    element = word or value
    if "=" in element or "\x00" in element or term.understand(element) is None:
        raise BadSelectionError(f"{name} cannot be {value[:40]!r}; {term.help}")
    return element


def _help(term: Term) -> str:
    words = f" One of {', '.join(f'`{word}`' for word in term.words)}." if term.words else ""
    return f"{term.help}{words}" + (f" Form: {term.form}." if term.form else "")


def _described(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": description,
    }
