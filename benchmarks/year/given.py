"""What was given in a night of the year, and which of it is on its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.year.expected import Expected, in_hand, stored_md5
from fits_dagster.fits.names import trimmed
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.nights import Night
from fits_dagster.sites import Site

__all__ = ["Given", "left_of"]


@dataclass
class Given:
    """What was given in one night, and what was done to it."""

    night: Night
    files: dict[str, Expected] = field(default_factory=dict)
    #: Files that were edited or written anew, and have not arrived again.
    changed: set[str] = field(default_factory=set)
    #: All of them have been given; before that nothing has settled.
    is_whole: bool = False
    settled: bool = False
    #: Files that are on their way.
    left: set[str] = field(default_factory=set)


def left_of(given: Given, sites: Mapping[str, Site]) -> set[str]:
    """Return the files of a night that are on their way, or have not come at all."""
    names = list(given.files)
    left: set[str] = set()
    with sites["summit"].engine.connect() as connection:
        left |= in_hand(connection, names)
        summit = stored_md5(connection, list(given.changed))
        failed = {trimmed(row.filename) for row in connection.execute(LEDGER["failed_items"])}
    with sites["archive"].engine.connect() as connection:
        left |= in_hand(connection, names)
        archive = stored_md5(connection, names)
    for name, file in given.files.items():
        if file.fault is not None:
            is_there = name in failed
        elif file.edits:
            is_there = archive.get(name) not in (None, file.md5) and archive[name] == summit.get(name)
        else:
            is_there = archive.get(name) == file.md5
        if not is_there:
            left.add(name)
    return left
