"""Values of a posted description: brought into the form that the database has, and checked against it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Boolean, Column, Integer, Numeric, Text
from sqlalchemy.types import TypeEngine

from fits_dagster.calibration.ruleset import RuleSet
from fits_dagster.metadata.record import ENUMS
from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.records.tables import header

__all__ = ["WrongValueError", "check_value", "typed_value"]

_SECTION: Final = re.compile(r"\D*?(\d+)\D+?(\d+)\D+?(\d+)\D+?(\d+)\D*")
_NAMED_SECTION: Final = re.compile(r"(?i)section\(.*\)")
_HEADER: Final = "header."


class WrongValueError(ValueError):
    """No file can have this value there: a comparison with it would say nothing."""


def typed_value(name: str, value: Any, ruleset: RuleSet) -> Any:
    """Return a descriptor's value in the form that the match keys have for the column of that name.

    What has no such form is returned as it is.
    """
    if name == "data_section":
        return _section(value)
    kind = _type_of(name, ruleset)
    try:
        return value if value is None or kind is None else _as_type(value, kind)
    except OverflowError:
        return value


def check_value(column: str, value: Any, ruleset: RuleSet) -> None:
    """Check that a value can be compared with a column.

    Parameters
    ----------
    column
        A column that candidates have: of the instrument's table, or else of the header.

    Raises
    ------
    WrongValueError
        It is not of the column's type, or not one of the words that the column can have.
    """
    if value is None:
        return
    kind = _type_of(column, ruleset)
    if isinstance(kind, Boolean):
        fits = isinstance(value, bool)
    elif isinstance(kind, Numeric | Integer):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        words = _words_of(column, ruleset)
        fits = isinstance(value, str) and (words is None or value in words)
    if not fits:
        raise WrongValueError(f"{column} cannot be {value!r}")


def _type_of(column: str, ruleset: RuleSet) -> TypeEngine[Any] | None:
    own = _own_columns(ruleset)
    if column in own:
        return own[column].type
    plain = column.removeprefix(_HEADER)
    return header.c[plain].type if plain in header.c else None


def _words_of(column: str, ruleset: RuleSet) -> tuple[str, ...] | None:
    if column in ruleset.vocabulary:
        return ruleset.vocabulary[column]
    return None if column in _own_columns(ruleset) else ENUMS.get(column.removeprefix(_HEADER))


def _own_columns(ruleset: RuleSet) -> Mapping[str, Column[Any]]:
    return {} if ruleset.table is None else {c.name: c for c in INSTRUMENT_TABLES[ruleset.table].columns}


def _as_type(value: Any, kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, Boolean) or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if isinstance(kind, Numeric):
            return float(value)
        if isinstance(kind, Integer):
            return int(value) if value == int(value) else value
        if isinstance(kind, Text):
            return str(value)
    return value


def _section(value: Any) -> Any:
    """Return a section of the detector in the form of the FITS keyword: counted from 1, both ends inside.

    Posted ones are counted from 0 and leave the upper end out: a list, its text, or ``Section(x1=…)``.
    """
    if isinstance(value, list | tuple):
        value = str(list(value))
    if not isinstance(value, str):
        return value
    named = _NAMED_SECTION.fullmatch(value.strip())
    if ":" in value or not (named or value.strip()[:1] in ("[", "(")):
        return value
    plain = re.sub(r"[xy][12]\s*=", "", value)
    match = _SECTION.fullmatch(plain)
    if match is None:
        return value
    x1, x2, y1, y2 = (int(each) for each in match.groups())
    return f"[{x1 + 1}:{x2},{y1 + 1}:{y2}]"
