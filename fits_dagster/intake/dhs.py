"""Arrivals: what the DHS directory holds that has not landed yet, whatever else lies there."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.sites import Site
from fits_dagster.storage.entries import Entry, EntryError, entries_of
from fits_dagster.storage.mounts import ANSWER_S, answer_within

__all__ = ["COPY", "DhsWatch", "dhs_entries", "is_ignored", "scan_dhs"]

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
#: What has landed is looked at again after so many seconds, and after so many times what that takes.
_LANDED_AGAIN_S: Final = 5.0
_LANDED_PAUSES: Final = 10.0


def is_ignored(name: str) -> bool:
    """Tell whether the copy job passes over a name: anything with ``tmp`` in it, or not ``*.fits``."""
    return "tmp" in name or not name.endswith(".fits")


def dhs_entries(site: Site, besides: Container[str] = ()) -> list[Entry]:
    """List the DHS directory: everything with the name of a file to be copied, each by itself.

    Parameters
    ----------
    besides
        Names, as the operating system gives them, of what is left out and not looked at.

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
        found = entries_of(
            directory, wanted=lambda name: name not in besides and not is_ignored(name), links_in=links_in
        )
        return sorted(found, key=lambda entry: entry.name)

    return answer_within(ANSWER_S, directory, "entries", look)


def scan_dhs(site: Site) -> list[str]:
    """Compare the DHS directory with what has landed, and queue what is new or has changed.

    Returns
    -------
    list of str
        Names that were queued, as they are shown.

    Raises
    ------
    OSError
        The directory cannot be read.
    """
    return DhsWatch(site).look()


class DhsWatch:
    """Looks at the DHS directory again and again, for as long as somebody watches.

    One listing and one query, whatever the number of files; no file is opened. What has landed as it is there
    is looked at every few seconds only, what has come since at each look. What can never be taken as it is
    (no regular file, an unsafe name) is queued once, to be refused with its reason.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        #: Raw names of what had landed as it was when it was looked at, and its names by their small letters.
        self._landed: set[str] = set()
        self._owners: dict[str, str] = {}
        self._all_again = 0.0

    def look(self) -> list[str]:
        """Queue what is new or has changed; see :func:`scan_dhs`."""
        began = time.monotonic()
        if began >= self._all_again:
            self._landed, self._owners = set(), {}
        is_whole = not self._landed
        queued = self._compare(dhs_entries(self._site, self._landed))
        if is_whole:
            took = time.monotonic() - began
            self._all_again = began + took + max(_LANDED_AGAIN_S, _LANDED_PAUSES * took)
        return queued

    def _compare(self, looked_at: Sequence[Entry]) -> list[str]:
        """Compare entries that have been looked at with what has landed; returns the names it queued."""
        if not looked_at:
            return []
        with self._site.engine.begin() as connection:
            # of those that are there now: what was copied through the years is no business of a look
            names = [entry.name for entry in looked_at]
            landed = {
                name: (size, mtime_ns)
                for name, size, mtime_ns in connection.execute(LEDGER["landed"], {"names": names})
            }
            changed = [entry for entry in looked_at if _is_news(entry, landed.get(entry.name))]
            self._remember(looked_at, changed)
            return self._queue(connection, changed, landed) if changed else []

    def _remember(self, looked_at: Sequence[Entry], changed: Sequence[Entry]) -> None:
        news = {entry.raw_name for entry in changed}
        as_they_landed = [e for e in looked_at if e.error is None and e.raw_name not in news]
        self._landed.update(entry.raw_name for entry in as_they_landed)
        for entry in as_they_landed:
            self._owners.setdefault(entry.name.casefold(), entry.name)

    def _queue(
        self, connection: Connection, changed: Sequence[Entry], landed: Mapping[str, tuple[int, int]]
    ) -> list[str]:
        faults = _faults(changed, self._owners, landed)
        known = _known_work(connection, [entry.name for entry in changed])
        soon = max(self._site.settings.dhs_stable_seconds, 0.0) + _MOMENTS_S
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
    changed: Sequence[Entry], owners: Mapping[str, str], landed: Container[str]
) -> Mapping[str, EntryError]:
    """Return by name why entries are refused: what they are, or that another name differs by case only.

    Parameters
    ----------
    owners
        Names of what has landed and has not changed, by their small letters.
    landed
        Names, among those of the entries, under which something has landed.
    """
    names = sorted((e.name for e in changed if e.fault is None), key=lambda name: (name not in landed, name))
    first = {name.casefold(): name for name in reversed(names)}
    faults = {}
    for entry in changed:
        folded = entry.name.casefold()
        owner = owners.get(folded) or first.get(folded, entry.name)
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
