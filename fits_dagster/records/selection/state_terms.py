"""Rows of the grammar about states: of files, of quality, of processing."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Table

from fits_dagster.records.selection import conditions as where
from fits_dagster.records.selection import values, vocabulary
from fits_dagster.records.selection.ordering import read_orderings
from fits_dagster.records.selection.terms import Condition, Term
from fits_dagster.records.tables import diskfile, header

__all__ = ["STATE_TERMS"]


def _flag(key: str, text: str, yes: str, no: str = "", *, column: str = "", table: Table = header) -> Term:
    """Make the row of two words for a column that is true or false."""
    words = tuple(word for word in (yes, no) if word)
    return Term(
        key=key,
        help=text,
        words=vocabulary.when(yes, no),
        where=where.is_flag(column or key, table),
        examples=words,
    )


def _percentile(key: str, text: str) -> Term:
    return Term(
        key=key,
        help=text,
        names=(key,),
        read=values.read_percentile,
        form="percentile, or Any",
        where=where.equals(key),
        examples=(f"{key}=70", f"{key}=Any"),
    )


_NOT_FAIL: Final = vocabulary.QA_STATES["NotFail"]
_GPI_STANDARD: Final[Condition] = where.gpi_standard_is

STATE_TERMS: Final[tuple[Term, ...]] = (
    _flag("present", "Versions whose file is there, or is not.", "present", "notpresent", table=diskfile),
    _flag("canonical", "Current versions, or old ones.", "canonical", "notcanonical", table=diskfile),
    _flag("mdready", "Whether the metadata are in order.", "mdgood", "mdbad", table=diskfile),
    Term(
        key="engineering",
        help="Engineering data; includeengineering lifts the restriction.",
        words=vocabulary.when("engineering", "notengineering") | {"includeengineering": vocabulary.EITHER},
        where=where.is_flag("engineering"),
        examples=("engineering", "notengineering", "includeengineering"),
    ),
    _flag("science_verification", "Science verification.", "science_verification", "notscience_verification"),
    _flag("calprog", "Calibration programs.", "calprog", "notcalprog", column="calibration_program"),
    _flag("site_monitoring", "Monitoring of the site.", "site_monitoring", "not_site_monitoring"),
    _flag("photstandard", "A standard star is in the field.", "photstandard", column="phot_standard"),
    Term(
        key="gpi_astrometric_standard",
        help="Astrometric standards of GPI.",
        words=vocabulary.when("gpi_astrometric_standard"),
        where=_GPI_STANDARD,
        examples=("gpi_astrometric_standard",),
    ),
    Term(
        key="preimage",
        help="Images for the design of masks.",
        words={"preimage": True},
        any_case=True,
        where=where.is_flag("pre_image"),
        examples=("preimage",),
    ),
    Term(
        key="qa_state",
        help="Quality: Win is Pass or Usable, Lucky is Pass or Undefined, AnyQA is no restriction.",
        words=vocabulary.QA_STATES,
        where=where.qa_state_is,
        examples=("NotFail", "Win", "UndefinedQA", "AnyQA"),
    ),
    _percentile("raw_iq", "Image quality, percentile."),
    _percentile("raw_cc", "Cloud cover, percentile."),
    _percentile("raw_wv", "Water vapour, percentile."),
    _percentile("raw_bg", "Sky background, percentile."),
    Term(
        key="defaults",
        help="The same as notengineering/not_site_monitoring/NotFail/processing_tag=default.",
        words={"defaults": True},
        also={
            "engineering": False,
            "site_monitoring": False,
            "qa_state": _NOT_FAIL,
            "processing_tag": "default",
        },
        examples=("defaults",),
    ),
    Term(
        key="path",
        help="Directory in the store, =slash= for /; empty is its root.",
        names=("path",),
        read=values.read_text,
        form="path",
        where=where.in_directory,
        examples=("path=", "path=a=slash=b"),
    ),
    Term(
        key="cols",
        help="Columns of a table for people, a letter each; lists for programs have all of them.",
        names=("cols",),
        read=values.read_text,
        form="letters",
        examples=("cols=FTO",),
    ),
    Term(
        key="orderby",
        help="Order; the same as ?orderby=, which counts more.",
        names=("orderby",),
        read=read_orderings,
        form="column, column_asc or column_desc",
        examples=("orderby=entrytime", "orderby=data_label_desc"),
    ),
    Term(
        key="processing_tag",
        help="Raw data, and processed ones with the tag; default is the best published tag of each domain.",
        names=("processing_tag",),
        read=values.read_text,
        form="tag, or default",
        where=where.tagged,
        examples=("processing_tag=default", "processing_tag=GCAL-1"),
    ),
)
