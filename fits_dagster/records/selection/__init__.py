"""The selection grammar of URLs: path elements to conditions on files and headers.

:mod:`~fits_dagster.records.selection.grammar` has the one table of all words and keys. The parser, the help
page, the descriptions in OpenAPI and the tests are made from it.
"""

from __future__ import annotations

from fits_dagster.records.selection.grammar import GRAMMAR
from fits_dagster.records.selection.ordering import Ordering, read_ordering
from fits_dagster.records.selection.parsing import Selection, path_elements, select_files
from fits_dagster.records.selection.terms import Term
from fits_dagster.records.selection.values import BadSelectionError

__all__ = [
    "GRAMMAR",
    "BadSelectionError",
    "Ordering",
    "Selection",
    "Term",
    "path_elements",
    "read_ordering",
    "select_files",
]
