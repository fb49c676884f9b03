"""Structural verification: is this file FITS, whole, and as it should be?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

from .cards import CARD_LENGTH, Cards
from .checksum import add_sums, fits_sum, ones_complement_sum, open_plain, pieces_of
from .hdu import HDU, padded
from .problems import Problem, Severity, refuse, warn
from .reading import FileInspection, walk_headers

__all__ = [
    "Completeness",
    "CompletenessState",
    "Problem",
    "Severity",
    "check_structure",
    "completeness",
]

#: Findings that go away when more bytes arrive.
_MAY_STILL_GROW: Final = frozenset({"zero_bytes", "missing_end", "truncated"})
_COMMENTARY: Final = ("COMMENT ", "HISTORY ", " " * 8, "CONTINUE", "HIERARCH")


class CompletenessState(Enum):
    """Whether all bytes of a file are there."""

    #: Every HDU that the headers declare is there to its last block.
    COMPLETE = "complete"
    #: Bytes are missing; more may still come.
    INCOMPLETE = "incomplete"
    #: The file does not begin as a FITS file.
    NOT_FITS = "not_fits"
    #: A FITS file whose headers cannot be followed; more bytes will not mend it.
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Completeness:
    """The outcome of the block arithmetic for one file."""

    state: CompletenessState
    #: For people: the number of missing bytes, or the bad card.
    message: str
    #: Size of the file when it was looked at, bytes.
    size: int = 0
    #: Size that the headers declare as far as they could be read, bytes.
    expected_size: int = 0
    #: Extensions that are there.
    extensions: int = 0
    #: ``NEXTEND`` of the primary header: extensions that the writer means to write. A hint only, since a
    #: file cut between two HDUs is whole by arithmetic; reduced files often carry a stale number.
    declared_extensions: int | None = None


def completeness(source: Path | FileIO) -> Completeness:
    """Tell from headers alone whether a file is a whole FITS file.

    Parameters
    ----------
    source : Path or FileIO
        A path, or an open plain file; of a plain file only the headers are read.

    Returns
    -------
    Completeness
        Whatever the file holds.

    Raises
    ------
    OSError
        The file cannot be read, which says nothing about what it holds.
    """
    walker, size = walk_headers(source)
    found = len(walker.hdus) - 1
    declared = walker.hdus[0].cards.get("NEXTEND") if walker.hdus else None
    declared = declared if isinstance(declared, int) else None
    refusals = [problem for problem in walker.problems if problem.severity == "refuse"]
    if not refusals:
        message = f"{len(walker.hdus)} HDUs, {size} bytes"
        return Completeness(CompletenessState.COMPLETE, message, size, walker.expected_end, found, declared)
    first = refusals[0]
    if first.code in _MAY_STILL_GROW:
        state = CompletenessState.INCOMPLETE
    elif first.code == "not_fits":
        state = CompletenessState.NOT_FITS
    else:
        state = CompletenessState.BROKEN
    return Completeness(state, first.message, size, walker.expected_end, max(found, 0), declared)


def check_structure(
    source: Path | FileInspection, *, path: Path | None = None, verify_checksums: bool = False
) -> list[Problem]:
    """Verify the structure of a file.

    Parameters
    ----------
    source : Path or FileInspection
        The file, or what a pass over it has told (then nothing is read again).
    path : Path, optional
        The file of an inspection; needed for what is in its data (padding, checksums).
    verify_checksums : bool
        Compute CHECKSUM and DATASUM too; this reads all data.

    Returns
    -------
    list of Problem
        Refusals first. Empty for a file without fault.
    """
    if isinstance(source, FileInspection):
        problems, hdus = list(source.problems), list(source.hdus)
    else:
        path = source
        try:
            walker, _ = walk_headers(source)
        except OSError as error:
            return [refuse("unreadable", f"the file cannot be read: {error}")]
        problems, hdus = list(walker.problems), walker.hdus
    for number, hdu in enumerate(hdus):
        problems += _card_problems(hdu, f"HDU {number}")
    whole = not any(problem.severity == "refuse" for problem in problems)
    if path is not None and whole and not path.name.endswith(".bz2"):
        problems += _padding_problems(path, hdus)
    if path is not None and whole and verify_checksums:
        problems += _checksum_problems(path, hdus)
    return sorted(problems, key=lambda problem: problem.severity != "refuse")


def _card_problems(hdu: HDU, place: str) -> list[Problem]:
    problems = []
    text = hdu.text
    if not text.isascii() or not text.isprintable():
        bad = [i // CARD_LENGTH + 1 for i, letter in enumerate(text) if not " " <= letter <= "~"]
        shown = ", ".join(str(number) for number in sorted(set(bad))[:5])
        problems.append(
            warn("non_ascii_cards", f"{place} has characters beyond printable ASCII in card {shown}")
        )
    unreadable = [key for key in _unreadable_keywords(hdu.cards)]
    if unreadable:
        problems.append(
            warn("unparsable_cards", f"{place}: no value can be read of {', '.join(unreadable[:5])}")
        )
    expected = _mandatory_order(hdu)
    found = [line[:8].rstrip() for line in hdu.lines[: len(expected)]]
    if found != expected:
        problems.append(warn("keyword_order", f"{place} begins with {found}, the standard wants {expected}"))
    return problems


def _unreadable_keywords(cards: Cards) -> list[str]:
    bad = []
    for key in cards:
        card = cards.card(key)
        if card is None or card.startswith(_COMMENTARY) or cards[key] is not None:
            continue
        if card[10:].split("/", 1)[0].strip():
            bad.append(key)
    return bad


def _mandatory_order(hdu: HDU) -> list[str]:
    count = hdu.cards.get("NAXIS")
    axes = count if isinstance(count, int) and 0 <= count <= 999 else 0
    names = ["SIMPLE" if hdu.is_primary else "XTENSION", "BITPIX", "NAXIS"]
    names += [f"NAXIS{number}" for number in range(1, axes + 1)]
    return names if hdu.is_primary else [*names, "PCOUNT", "GCOUNT"]


def _padding_problems(path: Path, hdus: list[HDU]) -> list[Problem]:
    problems = []
    with path.open("rb") as file:
        for number, hdu in enumerate(hdus):
            length = -hdu.data_bytes % 2880
            if not length:
                continue
            file.seek(hdu.data_offset + hdu.data_bytes)
            fill = b" " if hdu.cards.get("XTENSION") == "TABLE" else b"\0"
            if file.read(length).strip(fill):
                problems.append(
                    warn("padding", f"the fill after the data of HDU {number} is not all {fill!r}")
                )
    return problems


def _checksum_problems(path: Path, hdus: list[HDU]) -> list[Problem]:
    """Compare the sums; of the file as it was walked, whatever another reader would take for its HDUs."""
    problems = []
    try:
        with open_plain(path) as source:
            for number, hdu in enumerate(hdus):
                problems += _problems_of_sums(source, hdu, number)
    except (OSError, EOFError) as error:
        problems.append(warn("checksum", f"checksums could not be verified: {error}"))
    return problems


def _problems_of_sums(source: BinaryIO, hdu: HDU, number: int) -> list[Problem]:
    stated, checksum = (str(hdu.cards.get(key) or "").strip() for key in ("DATASUM", "CHECKSUM"))
    if not stated and not checksum:
        return []
    problems = []
    header_sum = ones_complement_sum(pieces_of(source, hdu.offset, hdu.data_offset))
    end = hdu.data_offset + padded(hdu.data_bytes)
    data_sum = ones_complement_sum(pieces_of(source, hdu.data_offset, end))
    if stated and stated != str(data_sum):
        problems.append(warn("datasum", f"DATASUM of HDU {number} does not fit its data"))
    if checksum and not fits_sum(add_sums(data_sum, header_sum)):
        problems.append(warn("checksum", f"CHECKSUM of HDU {number} does not fit the HDU"))
    return problems
