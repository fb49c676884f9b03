"""Calibrations for a header that is not in the archive: as a client describes or sends it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Boolean, Column, Connection, Integer, Numeric, Text
from sqlalchemy.exc import DataError
from sqlalchemy.types import TypeEngine

from fits_dagster.calibration.conditions import Facts
from fits_dagster.calibration.lookup import compute
from fits_dagster.calibration.match_keys import HeaderFacts, applicable_types, asked_queries, needs_of
from fits_dagster.calibration.queries import compile_ruleset, whole_seconds
from fits_dagster.calibration.rules import RuleSet, load_rulesets
from fits_dagster.metadata.record import ENUMS
from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.records.tables import header

__all__ = [
    "RequestError",
    "WrongValueError",
    "answer_request",
    "answer_target",
    "check_value",
    "target_of",
    "typed_value",
]

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


#: Descriptors that follow from tags, whatever was posted.
_TAGS: Final = {
    "nodandshuffle": "NODANDSHUFFLE",
    "spectroscopy": "SPECT",
    "overscan_subtracted": "OVERSCAN_SUBTRACTED",
    "overscan_trimmed": "OVERSCAN_TRIMMED",
    "prepared": "PREPARED",
}
#: What the request cannot say nothing about; ``null`` is an answer.
_REQUIRED: Final = ("data_label", "instrument", "ut_datetime")
#: Facts that no request has to tell.
_OPTIONAL: Final = frozenset({"engineering", "qa_state", "requested"})
#: What comes of a value that is not of the kind that a rule expects.
_WRONG_KIND: Final = (ArithmeticError, AttributeError, TypeError, ValueError)


class RequestError(ValueError):
    """The request does not describe a target."""


class _MissingDescriptorError(LookupError):
    """A rule needs a descriptor that the request does not have."""


class _Posted(dict[str, Any]):
    """Descriptors; to look for one that was not posted is an error, unlike one that is null."""

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self and key not in _OPTIONAL:
            raise _MissingDescriptorError(key)
        return super().get(key, default)


def target_of(descriptors: Mapping[str, Any], tags: Iterable[str]) -> HeaderFacts | None:
    """Make a target of a description, or None for an instrument without rules.

    Parameters
    ----------
    descriptors
        Values by name: numbers, texts, lists, nulls; ``ut_datetime`` a time, or its ISO text, UTC.

    Raises
    ------
    RequestError
        Something is missing that must be there, or the time cannot be read.
    """
    for name in _REQUIRED:
        if name not in descriptors:
            raise RequestError(f"missing field: {name}")
    if not isinstance(descriptors["data_label"], str | None):
        raise RequestError("data_label is no text")
    instrument = descriptors["instrument"]
    if not isinstance(instrument, str) or instrument not in load_rulesets():
        return None
    queries = compile_ruleset(instrument)
    ruleset = queries.ruleset
    known = frozenset(tags)
    moment = _moment(descriptors["ut_datetime"])
    values = {**descriptors, **{name: tag in known for name, tag in _TAGS.items()}}
    values |= {"ut_datetime": moment, "ut_datetime_secs": moment and whole_seconds(moment)}
    # what a file is judged to be is for the archive to say
    values |= {"qa_state": None, "requested": True}
    if "shuffle_pixels" in descriptors and "nod_pixels" not in descriptors:
        values["nod_pixels"] = descriptors["shuffle_pixels"]
    columns = INSTRUMENT_TABLES[ruleset.table].columns.keys() if ruleset.table is not None else ()
    rows = _by_arm(values) if ruleset.per_row else [values]
    targets = []
    for row in rows:
        typed = {name: typed_value(name, value, ruleset) for name, value in row.items()}
        shadowed = {f"header.{name}": typed[name] for name in columns if name in typed}
        targets.append(Facts(_Posted(typed | shadowed), known, ruleset.conditions))
    facts = HeaderFacts(0, True, datetime.now(UTC), queries, tuple(targets), tuple(targets))
    # an arm's worth of types is not asked for by anybody
    if not ruleset.per_row:
        try:
            applicable_types(facts)
        except _MissingDescriptorError as error:
            raise RequestError(f"missing field: {error}") from error
        except _WRONG_KIND:
            # the rule that looks at it will fail by itself
            pass
    return facts


def answer_request(
    connection: Connection, descriptors: Mapping[str, Any], tags: Iterable[str], caltype: str
) -> Sequence[int] | None:
    """Return the calibrations of one type for a described target, best first; see :func:`answer_target`.

    Raises
    ------
    RequestError
        It is no description of a target.
    """
    target = target_of(descriptors, tags)
    return [] if target is None else answer_target(connection, target, caltype)


def answer_target(connection: Connection, target: HeaderFacts, caltype: str) -> Sequence[int] | None:
    """Return the headers of the calibrations of one type, best first, whether the target needs it or not.

    Returns
    -------
    sequence of int, or None
        None when the rule cannot be evaluated: there is no time, or a descriptor is missing or has a value
        that no file can have.
    """
    ruleset = target.queries.ruleset
    try:
        asked = list(asked_queries(target, caltype))
        if not asked:
            return []
        if target.values["ut_datetime"] is None:
            return None
        for row, _, query in asked:
            for column, value in query.compared(ruleset, row):
                check_value(column, value, ruleset)
        needs = needs_of(target, [caltype])
        with connection.begin_nested():
            return compute(connection, needs).get((target.header_id, caltype), [])
    except (_MissingDescriptorError, DataError, *_WRONG_KIND):
        return None


def _moment(given: Any) -> datetime | None:
    if given is None or isinstance(given, datetime):
        moment = given
    else:
        try:
            moment = datetime.fromisoformat(given)
        except (TypeError, ValueError) as error:
            raise RequestError(f"ut_datetime is no time: {given!r}") from error
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _by_arm(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Split descriptors whose values are mappings by arm, unless the target is of one arm already."""
    times = values.get("exposure_time")
    if values.get("arm") is not None or not isinstance(times, Mapping):
        return [dict(values)]
    return [
        {name: value.get(arm) if isinstance(value, Mapping) else value for name, value in values.items()}
        | {"arm": arm}
        for arm in times
    ]
