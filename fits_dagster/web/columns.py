"""Columns of tables of files for people: what stands in them, by what they are ordered, who may see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from sqlalchemy import Row

from fits_dagster.web.versions import key_of
from fits_dagster.web.visibility import Viewer

__all__ = ["COLUMNS", "USUAL", "Cell", "Column", "about", "cells_of", "chosen_columns", "shown"]

#: A cell: its text, and where it leads.
Cell: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    cell: Callable[[Row[Any]], Cell]
    #: Column of an order; empty where there is none.
    order: str = ""
    #: Whether it tells where a frame points.
    is_position: bool = False


def about(row: Row[Any]) -> str:
    """Return the address of a file's page."""
    return f"/about/{quote(f'{row.path}/{row.name}' if row.path else row.name)}"


def shown(value: object) -> str:
    """Write a value for people."""
    text = "" if value is None else str(value).removesuffix("+00:00")
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    # numbers of the database have all their digits
    is_long = isinstance(value, Decimal) and "." in text
    return text.rstrip("0").rstrip(".") if is_long else text


def _field(title: str, name: str, order: str = "", *, is_position: bool = False) -> Column:
    return Column(title, lambda row: (shown(row._mapping[f"header_{name}"]), ""), order or name, is_position)


def _selected(title: str, name: str, *, order: str = "") -> Column:
    def cell(row: Row[Any]) -> Cell:
        value = shown(row._mapping[f"header_{name}"])
        return value, f"/searchform/{quote(value, safe='')}" if value else ""

    return Column(title, cell, order)


#: By the letter that chooses it in ``cols=``.
COLUMNS: Final[Mapping[str, Column]] = {
    "F": Column("File", lambda row: (row.name, about(row)), "filename"),
    "T": _field("UT", "ut_datetime"),
    "L": _selected("Data label", "data_label", order="data_label"),
    "I": _field("Instrument", "instrument"),
    "C": _field("Class", "observation_class"),
    "Y": _field("Type", "observation_type"),
    "O": _field("Object", "object", is_position=True),
    "W": _field("Filter", "filter_name"),
    "E": _field("Exposure", "exposure_time"),
    "D": _field("Disperser", "disperser"),
    "M": _field("Mask", "focal_plane_mask"),
    "A": _field("Airmass", "airmass", is_position=True),
    "R": _field("RA", "ra", is_position=True),
    "S": _field("Dec", "dec", is_position=True),
    "Q": _field("QA", "qa_state"),
    "B": _field("Binning", "detector_binning"),
    "K": _field("Wavelength", "central_wavelength"),
    "P": _selected("Program", "program_id"),
    "G": Column("Download", lambda row: ("get", f"/file/{quote(key_of(row))}") if row.present else ("", "")),
}
USUAL: Final = "FTLICYOWEAQG"


def chosen_columns(elements: Iterable[str], usual: str = USUAL) -> Sequence[Column]:
    """Return the columns that a selection asks for; letters that mean none are left out."""
    asked = next((each.removeprefix("cols=") for each in elements if each.startswith("cols=")), usual)
    return [COLUMNS[letter] for letter in dict.fromkeys(asked) if letter in COLUMNS]


def cells_of(row: Row[Any], columns: Sequence[Column], viewer: Viewer) -> list[Cell]:
    """Return the cells of a row as a viewer may see them."""
    sees = viewer.sees_position(row)
    return [column.cell(row) if sees or not column.is_position else ("", "") for column in columns]
