"""Targets that are described in a request: files that the database may never have seen.

The description is that of the reduction software: descriptors of a file by name, and its tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DataError

from fits_dagster.calibration.conditions import Facts
from fits_dagster.calibration.facts import HeaderFacts
from fits_dagster.calibration.index import applicable_types, asked_queries, needs_of
from fits_dagster.calibration.lookup import compute
from fits_dagster.calibration.posted import check_value, typed_value
from fits_dagster.calibration.queries import compile_ruleset, whole_seconds
from fits_dagster.calibration.ruleset import load_rulesets
from fits_dagster.records.instruments import INSTRUMENT_TABLES

__all__ = ["RequestError", "answer_request", "answer_target", "target_of"]

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
