"""Arrivals: what the DHS directory holds that has not landed yet, whatever else lies there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.sites import Site
from fits_dagster.storage.entries import Entry, EntryError, entries_of
from fits_dagster.storage.mounts import ANSWER_S, answer_within

__all__ = ["COPY", "dhs_entries", "is_ignored", "scan_dhs"]

#: The stage that takes what arrives.
COPY: Final = "copy"
#: Reasons of failures that may mend although the file does not change.
_MAY_MEND: Final = frozenset({"disk_unavailable", "permission_denied", "file_vanished"})
#: Seconds after which such a failure is tried again.
_TRY_AGAIN_S: Final = 60.0
#: Reasons for which the copy stage looks again within moments. A clock that was set back may have moved
#: that moment far away.
_MOMENTS: Final = frozenset({"unstable", "incomplete"})
_MOMENTS_S: Final = 10.0


def is_ignored(name: str) -> bool:
    """Tell whether the copy job passes over a name: anything with ``tmp`` in it, or not ``*.fits``."""
    return "tmp" in name or not name.endswith(".fits")


def dhs_entries(site: Site) -> list[Entry]:
    """List the DHS directory: everything with the name of a file to be copied, each by itself.

    Raises
    ------
    OSError
        The directory cannot be read, or its mount does not answer.
    """
    directory = site.settings.dhs_directory
    if directory is None:
        return []
    links_in = directory if site.settings.dhs_links else None

    def look() -> list[Entry]:
        found = entries_of(directory, wanted=lambda name: not is_ignored(name), links_in=links_in)
        return sorted(found, key=lambda entry: entry.name)

    return answer_within(ANSWER_S, directory, "entries", look)


def scan_dhs(site: Site) -> list[str]:
    """Compare the DHS directory with what has landed, and queue what is new or has changed.

    One listing and one query, whatever the number of files; no file is opened. What can never be taken as
    it is (no regular file, an unsafe name) is queued once, to be refused with its reason.

    Returns
    -------
    list of str
        Names that were queued, as they are shown.

    Raises
    ------
    OSError
        The directory cannot be read.
    """
    entries = dhs_entries(site)
    if not entries:
        return []
    with site.engine.begin() as connection:
        # of those that are there now: what was copied through the years is no business of a look
        names = [entry.name for entry in entries]
        landed = {
            row.name: (row.size, row.mtime_ns)
            for row in connection.execute(LEDGER["landed"], {"names": names})
        }
        changed = [entry for entry in entries if _is_news(entry, landed.get(entry.name))]
        if not changed:
            return []
        faults = _faults(changed, entries, landed)
        known = _known_work(connection, [entry.name for entry in changed])
        soon = max(site.settings.dhs_stable_seconds, 0.0) + _MOMENTS_S
        new = [
            entry.name
            for entry in changed
            if not _is_dealt_with(known.get(entry.name, ()), entry, faults.get(entry.name), soon)
        ]
        add_work(
            connection,
            (NewWork(stage=COPY, filename=name, payload=_refusal(faults.get(name))) for name in new),
        )
    return new


def _is_news(entry: Entry, landed: tuple[int, int] | None) -> bool:
    # what has landed and cannot be looked at now has not changed as far as is known
    return landed is None if entry.error is not None else landed != entry.seen


def _faults(
    changed: Iterable[Entry], entries: Iterable[Entry], landed: Mapping[str, tuple[int, int]]
) -> Mapping[str, EntryError]:
    """Return by name why entries are refused: what they are, or that another name differs by case only."""
    concerned = {entry.name.casefold() for entry in changed}
    alike = (e.name for e in entries if e.fault is None and e.name.casefold() in concerned)
    owners: dict[str, str] = {}
    for name in sorted(alike, key=lambda n: (n not in landed, n)):
        owners.setdefault(name.casefold(), name)
    faults = {}
    for entry in changed:
        owner = owners.get(entry.name.casefold(), entry.name)
        if entry.fault is not None:
            faults[entry.name] = entry.fault
        elif owner != entry.name and entry.name not in landed:
            faults[entry.name] = EntryError(
                f"{entry.name} differs from {owner} by upper and lower case only", reason="name_collision"
            )
    return faults


def _known_work(connection: Connection, names: Sequence[str]) -> Mapping[str, Sequence[Row[Any]]]:
    known: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(LEDGER["items_by_name"], {"stage": COPY, "names": names}):
        known.setdefault(row.filename, []).append(row)
    return known


def _is_dealt_with(rows: Sequence[Row[Any]], entry: Entry, fault: EntryError | None, soon: float) -> bool:
    """Tell whether what waits, runs, or failed in just this form is all that there is to do."""
    in_hand = [row for row in rows if row.state != "failed"]
    if in_hand:
        return not any(row.reason in _MOMENTS and row.due_in > soon for row in in_hand)
    return any(_failed_as_it_is(row, entry, fault) for row in rows)


def _failed_as_it_is(row: Row[Any], entry: Entry, fault: EntryError | None) -> bool:
    refused = row.payload.get("refused")
    if fault is not None or refused is not None:
        return fault is not None and refused == fault.reason
    if row.reason in _MAY_MEND:
        return bool(row.failed_for < _TRY_AGAIN_S)
    return entry.error is not None or (row.payload.get("size"), row.payload.get("mtime_ns")) == entry.seen


def _refusal(fault: EntryError | None) -> Mapping[str, str]:
    return {} if fault is None else {"refused": fault.reason, "detail": str(fault)}
