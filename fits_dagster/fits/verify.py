"""Structural verification: is this file FITS, whole, and as it should be?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from io import FileIO
from pathlib import Path
from typing import Final

from .cards import CARD_LENGTH, Cards
from .hdu import BLOCK, HDU
from .names import COMPRESSED_SUFFIX
from .opening import opened
from .problems import Problem, Severity, refuse, warn
from .reading import FileInspection, inspect_file, walk_headers
from .walker import Walker

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
#: Extensions whose data are often zeros to the last.
_OFTEN_ZERO: Final = frozenset({"DQ", "MASK", "OBJMASK", "BPM"})
#: Kinds of extensions of the standard.
_KINDS: Final = frozenset({"IMAGE", "TABLE", "BINTABLE"})
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
    #: Stable word for the finding that makes it anything but complete; empty if there is none.
    code: str = ""
    #: Why more may still come although every byte of the data is there; empty if nothing suggests it.
    doubt: str = ""


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
    if isinstance(source, Path) and not source.name.endswith(COMPRESSED_SUFFIX):
        with opened(source) as plain:
            return completeness(plain)
    walker, size = walk_headers(source)
    found = len(walker.hdus) - 1
    declared = walker.hdus[0].cards.get("NEXTEND") if walker.hdus else None
    declared = declared if isinstance(declared, int) else None
    refusals = [problem for problem in walker.problems if problem.severity == "refuse"]
    if not refusals:
        message = f"{len(walker.hdus)} HDUs, {size} bytes"
        doubt = _doubt(source, walker)
        return Completeness(
            CompletenessState.COMPLETE, message, size, walker.expected_end, found, declared, doubt=doubt
        )
    first = refusals[0]
    if walker.is_endless:
        state = CompletenessState.BROKEN
    elif first.code in _MAY_STILL_GROW:
        state = CompletenessState.INCOMPLETE
    elif first.code == "not_fits":
        state = CompletenessState.NOT_FITS
    else:
        state = CompletenessState.BROKEN
    return Completeness(state, first.message, size, walker.expected_end, max(found, 0), declared, first.code)


def _doubt(source: Path | FileIO, walker: Walker) -> str:
    """Tell what suggests that the writer has made room for more than it has written."""
    missing = next((p for p in walker.problems if p.code == "padding_missing"), None)
    if missing is not None:
        return missing.message
    if walker.is_preallocated:
        return "NUL bytes follow the last HDU"
    last = next((hdu for hdu in reversed(walker.hdus) if hdu.data_bytes), None)
    if last is None or (last.name or "").upper() in _OFTEN_ZERO or isinstance(source, Path):
        return ""
    length = min(last.data_bytes, BLOCK)
    source.seek(last.data_offset + last.data_bytes - length)
    tail = source.read(length) or b""
    return "" if tail.strip(b"\0") else f"the data end with {length} NUL bytes or more"


def check_structure(
    source: Path | FileInspection, *, path: Path | None = None, verify_checksums: bool = False
) -> list[Problem]:
    """Verify the structure of a file.

    Parameters
    ----------
    source : Path or FileInspection
        The file, or what a pass over it has told (then nothing is read again).
    path : Path, optional
        The file of an inspection; needed for what is in its padding.
    verify_checksums : bool
        Compute CHECKSUM and DATASUM of a path too, which reads all data; an inspection has done so.

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
            if verify_checksums:
                inspection = inspect_file(source)
                problems, hdus = list(inspection.problems), list(inspection.hdus)
            else:
                walker, _ = walk_headers(source)
                problems, hdus = list(walker.problems), walker.hdus
        except OSError as error:
            return [refuse("unreadable", f"the file cannot be read: {error}")]
    for number, hdu in enumerate(hdus):
        problems += _card_problems(hdu, f"HDU {number}")
    whole = not any(problem.severity == "refuse" for problem in problems)
    if path is not None and whole and not path.name.endswith(COMPRESSED_SUFFIX):
        problems += _padding_problems(path, hdus)
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
    if hdu.is_primary and hdu.cards.get("SIMPLE") is False:
        problems.append(warn("not_conforming", f"{place} says itself that it does not conform: SIMPLE is F"))
    kind = hdu.cards.get("XTENSION")
    if isinstance(kind, str) and kind.strip() not in _KINDS:
        problems.append(warn("unknown_extension", f"{place} is an extension of unknown kind {kind!r}"))
    unreadable = [key for key in _unreadable_keywords(hdu.cards)]
    if unreadable:
        problems.append(
            warn("unparsable_cards", f"{place}: no value can be read of {', '.join(unreadable[:5])}")
        )
    expected = _mandatory_order(hdu)
    starts = range(0, min(len(text), len(expected) * CARD_LENGTH), CARD_LENGTH)
    found = [text[start : start + 8].rstrip() for start in starts]
    if found != expected:
        problems.append(warn("keyword_order", f"{place} begins with {found}, the standard wants {expected}"))
    return problems


def _unreadable_keywords(cards: Cards) -> list[str]:
    if cards.are_plain:
        return []
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
    with opened(path) as file:
        for number, hdu in enumerate(hdus):
            length = -hdu.data_bytes % 2880
            if not length:
                continue
            file.seek(hdu.data_offset + hdu.data_bytes)
            fill = b" " if hdu.cards.get("XTENSION") == "TABLE" else b"\0"
            if (file.read(length) or b"").strip(fill):
                problems.append(
                    warn("padding", f"the fill after the data of HDU {number} is not all {fill!r}")
                )
    return problems
