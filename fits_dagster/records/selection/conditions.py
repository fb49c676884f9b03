"""From values of a selection to conditions on files and headers."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, and_, func, or_, select

from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.records.processing_tags import processingtag
from fits_dagster.records.programs import program, publication
from fits_dagster.records.selection.terms import Asked, Condition
from fits_dagster.records.selection.times import Span
from fits_dagster.records.selection.values import Limits, exact
from fits_dagster.records.selection.vocabulary import EITHER
from fits_dagster.records.tables import diskfile, file, header

__all__ = [
    "between",
    "camera_is",
    "detector_roi_is",
    "disperser_is",
    "equals",
    "exposure_near",
    "file_named",
    "file_named_like",
    "gpi_standard_is",
    "in_directory",
    "in_night",
    "instrument_is",
    "is_flag",
    "mask_is",
    "object_like",
    "of_program_with",
    "of_publication",
    "qa_state_is",
    "tagged",
    "twilight_is",
    "wavelength_near",
    "within",
]

#: Hours by which the labels of a telescope's nights run ahead of UTC; those of others do as at the site.
_HOURS_AHEAD: Final[dict[str | None, float]] = {"Gemini-North": 0.0, "Gemini-South": 6.0}
_GMOS: Final = ("GMOS-N", "GMOS-S")


def equals(column: str) -> Condition:
    """Make the condition that a column of the header has the value."""
    return lambda value, _: header.c[column] == value


def is_flag(column: str, table: Any = header) -> Condition:
    """Make the condition that a boolean column has the value; a null has neither."""
    return lambda value, _: None if value == EITHER else table.c[column].is_(value)


def in_directory(value: str, _: Asked) -> ColumnElement[bool]:
    """Return the condition on the directory in the store."""
    return diskfile.c.path == value


def within(column: Column[Any]) -> Condition:
    """Make the condition that a time lies in a span."""

    def condition(value: Span, _: Asked) -> ColumnElement[bool]:
        return and_(column >= value.start, column < value.end)

    return condition


def in_night(value: Span, asked: Asked) -> ColumnElement[bool]:
    """Return the condition that a frame belongs to nights, by the telescope that took it."""
    time, telescope = header.c.ut_datetime, func.coalesce(header.c.telescope, "")
    hours = {**_HOURS_AHEAD, None: asked.clock.hours_ahead}

    def within_span(least: float, most: float) -> ColumnElement[bool]:
        return and_(time >= value.start - timedelta(hours=most), time < value.end - timedelta(hours=least))

    of_telescopes = [
        and_(telescope.not_in(_HOURS_AHEAD) if name is None else telescope == name, within_span(ahead, ahead))
        for name, ahead in hours.items()
    ]
    # the first is for the index
    return and_(within_span(min(hours.values()), max(hours.values())), or_(*of_telescopes))


def between(column: str) -> Condition:
    """Make the condition that a number lies between limits, the upper one excluded."""

    def condition(value: Limits, _: Asked) -> ColumnElement[bool]:
        return and_(header.c[column] >= exact(value.low), header.c[column] < exact(value.high))

    return condition


def exposure_near(value: Limits, _: Asked) -> ColumnElement[bool]:
    """Return the condition on the exposure time: half a second about a number, or a range with its limits."""
    about = 0.5 if value.is_single else 0.0
    return header.c.exposure_time.between(exact(value.low - about), exact(value.high + about))


def wavelength_near(value: Limits, _: Asked) -> ColumnElement[bool]:
    """Return the condition on the central wavelength: 0.1 µm about a number, or a range, exclusive."""
    about = 0.1 if value.is_single else 0.0
    return and_(
        header.c.central_wavelength > exact(value.low - about),
        header.c.central_wavelength < exact(value.high + about),
    )


def file_named(value: str, _: Asked) -> ColumnElement[bool]:
    """Return the condition on the trimmed name."""
    return file.c.name == value


def file_named_like(value: str, _: Asked) -> ColumnElement[bool]:
    """Return the condition on the beginning of the name."""
    return file.c.name.startswith(value, autoescape=True)


def instrument_is(value: str, _: Asked) -> ColumnElement[bool]:
    """Return the condition on the instrument; GMOS is either of two."""
    return header.c.instrument.in_(_GMOS) if value == "GMOS" else header.c.instrument == value


def qa_state_is(value: tuple[str, bool], _: Asked) -> ColumnElement[bool] | None:
    """Return the condition that the state is one of some, or none of them."""
    states, is_one = value
    if not states:
        return None
    return header.c.qa_state.in_(states) if is_one else header.c.qa_state.not_in(states)


def disperser_is(value: str, asked: Asked) -> ColumnElement[bool]:
    """Return the condition on the disperser: the name, or the name with an id; the two forms of GNIRS' XD."""
    column = header.c.disperser
    crossed = re.fullmatch(r"(10|32|111)lXD", value)
    if crossed is not None and asked.get("inst", "GNIRS") == "GNIRS":
        return column.in_([f"{crossed[1]}_mm&{form}" for form in ("SXD", "LXD")])
    return or_(column == value, column.startswith(f"{value}_", autoescape=True))


def camera_is(value: str, _: Asked) -> ColumnElement[bool]:
    """Return the condition on the camera; GNIRS' long and short ones are two each."""
    pair = re.fullmatch("Gnirs(Long|Short)", value)
    if pair is not None:
        return header.c.camera.in_((f"{pair[1]}Red", f"{pair[1]}Blue"))
    return header.c.camera == value


def mask_is(value: str, asked: Asked) -> ColumnElement[bool]:
    """Return the condition on the focal plane mask, whose names have endings at some instruments."""
    column, instrument = header.c.focal_plane_mask, asked.get("inst")
    if instrument in ("GMOS", *_GMOS):
        return column.startswith(value, autoescape=True)
    if instrument == "TReCS":
        return column.contains(value, autoescape=True)
    return column == value


def detector_roi_is(value: str, _: Asked) -> ColumnElement[bool]:
    """Return the condition on the region of interest; a detector without one is read out in full."""
    return header.c.detector_roi_setting.in_((value, "Fixed") if value == "Full Frame" else (value,))


def twilight_is(value: bool, _: Asked) -> ColumnElement[bool]:
    """Return the condition that the object is the twilight sky, or is not."""
    return header.c.object == "Twilight" if value else header.c.object != "Twilight"


def object_like(value: str, asked: Asked) -> ColumnElement[bool] | None:
    """Return the condition on the object's name; a position says more than a name, which is then left out."""
    if "ra" in asked or "dec" in asked:
        return None
    name = func.lower(header.c.object)
    lower = value.lower()
    if not lower.strip("*"):
        return header.c.object.is_not(None) if lower else header.c.object == ""
    if not lower.startswith("*") and not lower.endswith("*"):
        return name == lower
    pattern = re.sub(r"([%_\\])", r"\\\1", lower)
    pattern = re.sub(r"^\*|\*$", "%", pattern)
    return name.like(pattern, escape="\\")


def gpi_standard_is(value: bool, _: Asked) -> ColumnElement[bool]:
    """Return the condition that GPI observed an astrometric standard."""
    gpi = INSTRUMENT_TABLES["gpi"]
    return (
        select(gpi.c.header_id)
        .where(gpi.c.header_id == header.c.id, gpi.c.astrometric_standard.is_(value))
        .exists()
    )


def of_program_with(column: str) -> Condition:
    """Make the condition that all words stand in a text about the program."""

    def condition(value: str, _: Asked) -> ColumnElement[bool]:
        vector = func.to_tsvector("simple", func.coalesce(program.c[column], ""))
        words = func.plainto_tsquery("simple", value)
        return header.c.program_id.in_(select(program.c.program_id).where(vector.op("@@")(words)))

    return condition


def of_publication(value: str, _: Asked) -> ColumnElement[bool]:
    """Return the condition that the program led to a publication."""
    return header.c.program_id.in_(select(publication.c.program_id).where(publication.c.bibcode == value))


def tagged(value: str, asked: Asked) -> ColumnElement[bool]:
    """Return the condition on the processing tag: raw files, and those with the tag.

    ``default`` is in each domain the published tag of highest priority that occurs in the rest of the
    selection, whose conditions must be known before.
    """
    raw, tag = header.c.processing == "Raw", header.c.processing_tag
    if value != "default":
        return or_(raw, tag == value)
    occurring = (
        select(tag)
        .select_from(diskfile.join(file).join(header, header.c.diskfile_id == diskfile.c.id))
        .where(tag.is_not(None), *asked.conditions.values())
        .correlate(None)
    )
    rank = func.rank().over(partition_by=processingtag.c.domain, order_by=processingtag.c.priority.desc())
    ranked = (
        select(processingtag.c.tag, rank.label("rank"))
        .where(processingtag.c.published, processingtag.c.tag.in_(occurring))
        .subquery()
    )
    return or_(raw, tag.in_(select(ranked.c.tag).where(ranked.c.rank == 1)))
