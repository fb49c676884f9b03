"""Statements about header edits: asked for, waiting, settled; and the hint that one made a new version.

The edits of a file are applied in the order of their ids, which is the order in which they were committed:
the row of the file is locked while one is added.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from fits_dagster.fits.header_update import CardList, HeaderUpdate, restored_cards, stored_cards
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.records.queries import QUERIES as RECORDS

__all__ = [
    "LocatedFile",
    "WaitingEdit",
    "add_edit",
    "chained",
    "find_by_label",
    "find_by_name",
    "has_pending_content",
    "settle_edits",
    "waiting_edits",
]


@dataclass(frozen=True)
class LocatedFile:
    """A present file that a request means."""

    name: str
    path: str
    filename: str
    isfits: bool | None
    processing: str | None = None


@dataclass(frozen=True)
class WaitingEdit:
    """One edit of a file that is to be applied."""

    id: int
    cards: CardList
    #: Keywords that must be in the header already.
    required: Sequence[str]


def find_by_name(connection: Connection, name: str, path: str | None) -> list[LocatedFile]:
    """Find present files by trimmed name, and by path unless that is None; lock their names."""
    rows = connection.execute(RECORDS["find_by_name"], {"name": name, "path": path}).mappings()
    return [LocatedFile(**row) for row in rows]


def find_by_label(connection: Connection, label: str) -> list[LocatedFile]:
    """Find present files by data label; lock their names."""
    rows = connection.execute(RECORDS["find_by_label"], {"label": label}).mappings()
    return [LocatedFile(**row) for row in rows]


def add_edit(
    connection: Connection,
    found: LocatedFile,
    *,
    cards: CardList,
    required: Sequence[str],
    request: Mapping[str, Any],
    asked_by: str,
) -> int:
    """Note an edit of a file that was found (and locked) in this transaction; returns its id."""
    values = {
        "path": found.path,
        "filename": found.filename,
        "request": json.dumps({**request, "required": list(required)}),
        "cards": json.dumps(stored_cards(cards)),
        "asked_by": asked_by,
    }
    return int(connection.execute(LEDGER["add_edit"], values).scalar_one())


def waiting_edits(
    connection: Connection, keys: Iterable[tuple[str, str]], *, again: Iterable[int] = ()
) -> Mapping[tuple[str, str], list[WaitingEdit]]:
    """Return the edits that wait, by (path, file name), first asked first, in one query.

    Parameters
    ----------
    again
        Edits that were refused and are to be tried again.
    """
    asked = sorted(set(keys))
    rows = connection.execute(
        LEDGER["waiting_edits"],
        {
            "paths": [path for path, _ in asked],
            "filenames": [filename for _, filename in asked],
            "again": list(again),
        },
    )
    found: dict[tuple[str, str], list[WaitingEdit]] = {}
    for row in rows:
        edit = WaitingEdit(row.id, restored_cards(row.cards), tuple(row.request.get("required", ())))
        found.setdefault((row.path, row.filename), []).append(edit)
    return found


def settle_edits(connection: Connection, applied: Sequence[int], refused: Mapping[int, str]) -> None:
    """Note which edits were applied, and which could not be, and why."""
    outcomes = {**dict.fromkeys(applied), **refused}
    rows = [{"id": number, "error": error} for number, error in outcomes.items()]
    if rows:
        connection.execute(LEDGER["settle_edits"], rows)


def chained(
    connection: Connection,
    hint: HeaderUpdate | None,
    *,
    stage: str,
    path: str,
    filename: str,
    destination: str = "",
) -> Mapping[str, Any]:
    """Return the payload of follow-up work with a hint, joined to that of an item that waits already.

    An item that knows how A became B and is told how B became C learns how A becomes C. Any other hint is
    replaced: it is of no use, and whoever reads a hint compares its digests with what is there.
    """
    if hint is None:
        return {}
    waiting = connection.execute(
        LEDGER["chained"], {"stage": stage, "path": path, "filename": filename, "destination": destination}
    ).scalar_one_or_none()
    earlier = HeaderUpdate.of_payload(waiting) if waiting else None
    if earlier is not None and earlier.data_md5_after == hint.data_md5_before:
        # a keyword that was set twice is set twice again: only so do the bytes come out the same
        cards = (*earlier.cards, *hint.cards)
        hint = HeaderUpdate(cards, earlier.data_md5_before, hint.data_md5_after)
    return hint.as_payload()


def has_pending_content(connection: Connection, path: str, name: str) -> bool:
    """Tell whether a newer content of a file may be on its way into the store or the database."""
    return bool(connection.scalar(LEDGER["has_pending_content"], {"path": path, "name": name}))
