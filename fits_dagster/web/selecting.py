"""The selection of a request: read from its path, told where it is not understood, cut to what is public."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Path, Query, Request
from sqlalchemy import not_

from fits_dagster.records.selection import (
    GRAMMAR,
    BadSelectionError,
    Ordering,
    Selection,
    path_elements,
    read_ordering,
    select_files,
)
from fits_dagster.records.selection.ordering import ORDER_COLUMNS
from fits_dagster.web.access import site_of
from fits_dagster.web.visibility import viewer_of

__all__ = [
    "NOT_UNDERSTOOD_HEADER",
    "Cursor",
    "OrderBy",
    "SelectionPath",
    "not_understood",
    "orderings_of",
    "read_selection",
    "selection_description",
]

#: Lists, percent-encoded and separated by commas, what had no effect on the answer.
NOT_UNDERSTOOD_HEADER: Final = "X-Fits-Dagster-Not-Understood"
_LONGEST_HEADER: Final = 2000


def selection_description() -> str:
    """Describe the path of a selection, for OpenAPI."""
    lines = ["Elements of a selection, in any order, separated by `/`; a `/` in a value is `=slash=`.", ""]
    for term in GRAMMAR:
        forms = [f"`{name}=<{term.form}>`" for name in term.names[:1]]
        words = [f"`{word}`" for word in term.words]
        lines.append(f"* {', '.join(forms + words) or term.examples[0]}: {term.help}")
    return "\n".join(lines)


#: What stands behind the name of a route that takes a selection.
SelectionPath = Annotated[str, Path(description=selection_description())]
OrderBy = Annotated[
    list[str],
    Query(
        default_factory=list,
        description=f"`column`, `column_asc` or `column_desc`: {', '.join(ORDER_COLUMNS)}",
    ),
]
Cursor = Annotated[
    str | None, Query(description="Place in the change feed, from the page before; empty for the first.")
]


def read_selection(
    request: Request, feature: str, *, without: Iterable[str] = (), elements: Sequence[str] | None = None
) -> Selection:
    """Read the selection of a request.

    What is not understood is noted for the answer's header, or refused, as the site's settings say. A search
    by position or by the target's name leaves out what the viewer must not learn.

    Parameters
    ----------
    without
        Words that mean something to the caller, and are no part of the selection.
    elements
        The elements, if they are not those of the path.

    Raises
    ------
    BadSelectionError
        A value is none that its key can have; or something is not understood, and the site refuses that.
    """
    site, left_out = site_of(request), set(without)
    found = path_elements(request.scope.get("raw_path") or b"", feature) if elements is None else elements
    selection = select_files([each for each in found if each not in left_out], site.settings)
    for text in request.query_params.getlist("orderby"):
        if read_ordering(text) is None:
            selection.not_recognised.append(f"orderby={text}")
    if selection.not_recognised and site.settings.refuse_not_understood:
        raise BadSelectionError(f"not understood: {', '.join(selection.not_recognised)}; see /help")
    request.state.not_understood = selection.not_recognised
    viewer = viewer_of(request)
    if selection.asks_for_position and not viewer.is_staff:
        selection.conditions["visible"] = not_(viewer.hidden_position())
    return selection


def orderings_of(request: Request, selection: Selection) -> tuple[Ordering, ...]:
    """Return the order that the query string asks for, else the selection."""
    asked = [read_ordering(text) for text in request.query_params.getlist("orderby")]
    return tuple(each for each in asked if each is not None) or selection.orderings


def not_understood(elements: Iterable[str]) -> str:
    """Write elements that were not understood as the value of a header."""
    return ", ".join(quote(each, safe="=") for each in elements)[:_LONGEST_HEADER]
