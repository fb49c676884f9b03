"""The grammar: one table of all words and keys, in the order in which an element is tried against them."""

from __future__ import annotations

from typing import Final

from fits_dagster.records.selection.frame_terms import FRAME_TERMS
from fits_dagster.records.selection.program_terms import PROGRAM_TERMS
from fits_dagster.records.selection.sky_terms import SKY_TERMS
from fits_dagster.records.selection.state_terms import STATE_TERMS
from fits_dagster.records.selection.terms import Term
from fits_dagster.records.selection.time_terms import TIME_TERMS

__all__ = ["GRAMMAR"]

#: The conditions are made in the same order; a processing tag, the last, looks at all the others.
GRAMMAR: Final[tuple[Term, ...]] = (*FRAME_TERMS, *SKY_TERMS, *PROGRAM_TERMS, *TIME_TERMS, *STATE_TERMS)
