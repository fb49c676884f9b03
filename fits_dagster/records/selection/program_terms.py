"""Rows of the grammar about programs: identifiers, people, publications, and how names of files begin."""

from __future__ import annotations

from typing import Final

from fits_dagster.records.selection import conditions as where
from fits_dagster.records.selection import values, vocabulary
from fits_dagster.records.selection.terms import Term

__all__ = ["PROGRAM_TERMS", "SPECIFIC_FIRST"]

#: Of these keys only the first that is there counts.
SPECIFIC_FIRST: Final = ("data_label", "observation_id", "program_id")

PROGRAM_TERMS: Final[tuple[Term, ...]] = (
    Term(
        key="data_label",
        help="Data label.",
        names=("datalabel",),
        read=vocabulary.read_identifier,
        form="label",
        recognise=vocabulary.data_label_in,
        where=where.equals("data_label"),
        closes=True,
        examples=("GN-2025B-Q-101-7-001", "datalabel=GN-2025B-Q-101-7-001", "progid=GN-2025B-Q-101-7-001"),
    ),
    Term(
        key="observation_id",
        help="Observation.",
        names=("obsid",),
        read=vocabulary.read_identifier,
        form="identifier",
        recognise=vocabulary.observation_in,
        where=where.equals("observation_id"),
        closes=True,
        examples=("GN-2025B-Q-101-7", "obsid=GN-2025B-Q-101-7", "progid=GN-2025B-Q-101-7"),
    ),
    Term(
        key="program_id",
        help="Program; a data label or an observation behind progid= counts as such.",
        names=("progid",),
        read=vocabulary.read_identifier,
        form="identifier",
        recognise=vocabulary.program_in,
        where=where.equals("program_id"),
        closes=True,
        examples=("GN-2025B-Q-101", "GN-CAL20251123", "progid=GN-2025B-Q-101"),
    ),
    Term(
        key="PIname",
        help="All words stand among the names of the program's investigators.",
        names=("PIname",),
        read=values.read_text,
        form="words",
        where=where.of_program_with("pi_coi_names"),
        examples=("PIname=Nobody",),
    ),
    Term(
        key="ProgramText",
        help="All words stand in the program's title.",
        names=("ProgramText",),
        read=values.read_text,
        form="words",
        where=where.of_program_with("title"),
        examples=("ProgramText=distant galaxies",),
    ),
    Term(
        key="publication",
        help="The program led to a publication.",
        names=("publication",),
        read=values.read_text,
        form="bibcode",
        where=where.of_publication,
        examples=("publication=2024ApJ...900....1A",),
    ),
    Term(
        key="filepre",
        help="Beginning of the file's name.",
        names=("filepre",),
        read=values.read_text,
        form="text",
        recognise=vocabulary.file_prefix_in,
        where=where.file_named_like,
        closes=True,
        examples=("N20251123", "filepre=N2025112"),
    ),
)
