"""Provenance tables of processed files: the inputs of a reduction, and its steps.

Source: Gemini header conventions: binary tables ``PROVENANCE`` and ``HISTORY`` (older name ``PROVHISTORY``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from .hdu import HDU

__all__ = ["Provenance", "ProvenanceInput", "ReductionStep", "read_provenance"]

_Row = TypeVar("_Row")

_INPUT_TABLES: Final = frozenset({"PROVENANCE"})
_STEP_TABLES: Final = frozenset({"HISTORY", "PROVHISTORY"})
#: Real tables stay far below this.
_MAX_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class ProvenanceInput:
    """One input file of a reduction."""

    #: UTC; None where it cannot be read.
    timestamp: datetime | None
    filename: str
    md5: str | None
    #: The step that added it.
    added_by: str | None


@dataclass(frozen=True)
class ReductionStep:
    """One step of a reduction."""

    #: UTC; None where they cannot be read.
    timestamp_start: datetime | None
    timestamp_end: datetime | None
    primitive: str
    #: Arguments as the reduction wrote them (JSON as a rule).
    args: str | None


@dataclass(frozen=True)
class Provenance:
    """Rows in the order of the file, and one line for each entry that could not be read."""

    inputs: tuple[ProvenanceInput, ...] = ()
    steps: tuple[ReductionStep, ...] = ()
    problems: tuple[str, ...] = ()


def read_provenance(path: Path, hdus: Sequence[HDU]) -> Provenance:
    """Read the provenance tables of a file.

    Parameters
    ----------
    path : Path
        The file, plain or ``.bz2``; it is opened only if there is such a table.
    hdus : sequence of HDU
        Its headers, primary first.

    Returns
    -------
    Provenance
        Never raises for what the file holds: a table or row that cannot be read is a problem.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    wanted = {number: name for number, hdu in enumerate(hdus) if (name := _table_name(hdu)) is not None}
    if not wanted:
        return Provenance()
    inputs: list[ProvenanceInput] = []
    steps: list[ReductionStep] = []
    problems: list[str] = []
    with path.open("rb"):
        pass  # what follows takes every error for one of the content
    for number, name in wanted.items():
        if hdus[number].data_bytes > _MAX_BYTES:
            problems.append(f"{name}: {hdus[number].data_bytes} bytes are too many for such a table")
            continue
        try:
            rows = _rows(path, number)
        except Exception as error:  # whatever astropy makes of a damaged table
            problems.append(f"{name}: the table cannot be read: {error}")
            continue
        if name in _INPUT_TABLES:
            inputs += _converted(rows, _input, name, problems)
        else:
            steps += _converted(rows, _step, name, problems)
    return Provenance(tuple(inputs), tuple(steps), tuple(problems))


def _table_name(hdu: HDU) -> str | None:
    name = (hdu.name or "").strip().upper()
    is_wanted = name in _INPUT_TABLES or name in _STEP_TABLES
    return name if is_wanted and hdu.cards.get("XTENSION") in ("BINTABLE", "TABLE") else None


def _rows(path: Path, number: int) -> list[Mapping[str, Any]]:
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False, character_as_bytes=False) as hdulist:
            table = hdulist[number].data
            if table is None:
                return []
            names = {str(name).lower(): table.field(name).tolist() for name in table.names}
    return [dict(zip(names, values, strict=True)) for values in zip(*names.values(), strict=True)]


def _converted(
    rows: Sequence[Mapping[str, Any]],
    convert: Callable[[Mapping[str, Any], list[str]], _Row],
    name: str,
    problems: list[str],
) -> Iterator[_Row]:
    for number, row in enumerate(rows, start=1):
        found: list[str] = []
        try:
            yield convert(row, found)
        except ValueError as error:
            found.append(str(error))
        problems += [f"{name} row {number}: {problem}" for problem in found]


def _input(row: Mapping[str, Any], problems: list[str]) -> ProvenanceInput:
    return ProvenanceInput(
        timestamp=_instant(row, "timestamp", problems),
        filename=_needed(row, "filename"),
        md5=_text(row, "md5"),
        added_by=_text(row, "provenance_added_by"),
    )


def _step(row: Mapping[str, Any], problems: list[str]) -> ReductionStep:
    return ReductionStep(
        timestamp_start=_instant(row, "timestamp_start", problems),
        timestamp_end=_instant(row, "timestamp_stop", problems),
        primitive=_needed(row, "primitive"),
        args=_text(row, "args"),
    )


def _text(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    shown = "" if value is None else str(value).replace("\0", "").strip()
    return shown or None


def _needed(row: Mapping[str, Any], column: str) -> str:
    value = _text(row, column)
    if value is None:
        raise ValueError(f"no {column}")
    return value


def _instant(row: Mapping[str, Any], column: str, problems: list[str]) -> datetime | None:
    """Return a time stamp with a blank or a T, with or without a fraction, as UTC."""
    written = _text(row, column)
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        problems.append(f"{column} {written!r} is no time")
        return None
