"""What must be at the archive, whatever happened on the way; and whether it is."""

from __future__ import annotations

import bz2
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from sqlalchemy import Connection, text

from fits_dagster.fits.names import COMPRESSED_SUFFIX, trimmed
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site

__all__ = ["Book", "Expected", "Verdict", "body_md5", "in_hand", "stored_md5", "verify"]

_CARD: Final = 80
_BLOCK: Final = 2880
_IN_HAND = text(
    "select filename from work_item where state in ('waiting', 'running') and filename = any(:names)"
)
_STORED = text("""
    select f.name, d.data_md5 from diskfile d join file f on f.id = d.file_id
    where d.present and f.name = any(:names)""")


@dataclass
class Expected:
    """One file that was given to the telescope's directory."""

    name: str
    #: Of the bytes as they were written last.
    md5: str
    #: What is wrong with it, if it never becomes whole.
    fault: str | None = None
    #: Cards that were edited by the system: keyword to value. Then the rest of the file must be as it was.
    edits: dict[str, str] = field(default_factory=dict)
    #: Of everything but these cards.
    body_md5: str | None = None


@dataclass
class Verdict:
    """What came of all files."""

    files: int = 0
    equal: int = 0
    #: Files whose header was edited, and in which all else is as it was.
    edited: int = 0
    missing: list[str] = field(default_factory=list)
    #: With what is wrong.
    altered: dict[str, str] = field(default_factory=dict)
    #: Files that are broken and failed, with stage and reason; and broken ones that did not fail.
    failed: dict[str, str] = field(default_factory=dict)
    not_failed: list[str] = field(default_factory=list)
    #: Files that are whole and failed, with stage and reason.
    failed_whole: dict[str, str] = field(default_factory=dict)
    #: Files that wait or are in hand although nothing more comes.
    stuck: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, altered or stuck, and only what is broken has failed."""
        return not (self.missing or self.altered or self.not_failed or self.failed_whole or self.stuck)


class Book:
    """What is expected, in a file: it must not grow in memory with the year.

    Parameters
    ----------
    path
        The file; what is in it stays where the year ``goes_on``.
    """

    def __init__(self, path: Path, *, goes_on: bool = False) -> None:
        self._path = path
        self._file: TextIO = path.open("a+" if goes_on else "w+")
        self._file.seek(0)
        #: Files in it.
        self.count = sum(1 for _ in self._file)

    def write(self, files: Sequence[Expected]) -> None:
        """Add files of which no more will change."""
        for file in files:
            self._file.write(json.dumps(asdict(file)) + "\n")
        self.count += len(files)

    def read(self) -> Iterator[Expected]:
        """Return all files."""
        self._file.flush()
        with self._path.open() as file:
            for line in file:
                yield Expected(**json.loads(line))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def body_md5(content: bytes, without: Sequence[str]) -> str:
    """Return the MD5 of a file without some cards of its primary header, and without the header's padding."""
    leave = tuple(keyword.ljust(8).encode() for keyword in without)
    digest, at = hashlib.md5(usedforsecurity=False), 0
    while (card := content[at : at + _CARD]) and not card.startswith(b"END     "):
        if not card.startswith(leave) or not leave:
            digest.update(card)
        at += _CARD
    digest.update(content[-(-(at + _CARD) // _BLOCK) * _BLOCK :])
    return digest.hexdigest()


def in_hand(connection: Connection, names: Sequence[str]) -> set[str]:
    """Return which of some files wait or are worked on at a site."""
    spelled = [*names, *(f"{name}{COMPRESSED_SUFFIX}" for name in names)]
    return {trimmed(name) for name in connection.scalars(_IN_HAND, {"names": spelled})}


def stored_md5(connection: Connection, names: Sequence[str]) -> Mapping[str, str]:
    """Return the MD5 of the uncompressed data of those of some files that are present at a site."""
    return {row.name: row.data_md5 for row in connection.execute(_STORED, {"names": list(names)})}


def verify(
    book: Book,
    archive: Site,
    failures: Mapping[str, str],
    stuck: Sequence[str],
    on_file: Callable[[], object] = lambda: None,
) -> Verdict:
    """Compare every file that was given with the bytes in the archive's store.

    Parameters
    ----------
    failures
        Failed files of all sites with stage and reason.
    """
    verdict = Verdict(stuck=sorted(stuck))
    with archive.engine.connect() as connection:
        held = {row.name: row.data_md5 for row in connection.execute(RECORDS["present_contents"])}
    for file in book.read():
        verdict.files += 1
        reason = failures.get(file.name)
        if file.fault is not None:
            if reason is None:
                verdict.not_failed.append(file.name)
            else:
                verdict.failed[file.name] = f"{file.fault}: {reason}"
        elif reason is not None:
            verdict.failed_whole[file.name] = reason
        if file.fault is None:
            _compare(file, archive, held.get(file.name), verdict)
        on_file()
    return verdict


def _compare(file: Expected, archive: Site, recorded: str | None, verdict: Verdict) -> None:
    content = _stored_content(archive, file.name)
    if recorded is None or content is None:
        verdict.missing.append(file.name)
        return
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != recorded:
        verdict.altered[file.name] = f"its bytes have {md5}, its record {recorded}"
    elif not file.edits and md5 == file.md5:
        verdict.equal += 1
    elif not file.edits:
        verdict.altered[file.name] = f"{md5} instead of {file.md5}"
    elif body_md5(content, list(file.edits)) != file.body_md5:
        verdict.altered[file.name] = "something else than the edited cards has changed"
    elif lost := [k for k, value in file.edits.items() if _value(content, k) != value]:
        verdict.altered[file.name] = f"not edited: {', '.join(lost)}"
    else:
        verdict.edited += 1


def _stored_content(archive: Site, name: str) -> bytes | None:
    for key in (f"{name}{COMPRESSED_SUFFIX}", name):
        if archive.store.stat(key) is not None:
            with archive.store.local(key, verify=False) as path:
                content = path.read_bytes()
            return bz2.decompress(content) if key != name else content
    return None


def _value(content: bytes, keyword: str) -> str | None:
    at = 0
    while (card := content[at : at + _CARD]) and not card.startswith(b"END     "):
        if card.startswith(keyword.ljust(8).encode() + b"= "):
            return card[10:].decode("ascii", "replace").split("/")[0].strip().strip("'").strip()
        at += _CARD
    return None


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """Write a verdict for programs."""
    return asdict(verdict)
