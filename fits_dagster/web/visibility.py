"""What may be shown to whom: the one place that decides about files and values that are not public yet.

* A file, and its preview, is public when it is engineering data, or when it has been released; an observing
  log when the program's data of its date have been.
* Where a frame points is public too, but for programs that ask otherwise (``PROP_MD``): then it is hidden
  until the release, and so is every value from which it follows, and every search that would tell it.

Staff see everything; others also what was granted to them: the data of a program, of an observation, or a
file. Every route that can show a file or a value asks here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from fastapi import HTTPException, Request
from sqlalchemy import ColumnElement, Connection, and_, false, func, or_

from fits_dagster.metadata import summary
from fits_dagster.records import selected
from fits_dagster.records.tables import header
from fits_dagster.web.access import current_person
from fits_dagster.web.accounts import DataRight
from fits_dagster.web.versions import file_entry, header_values

__all__ = ["POSITION_FIELDS", "Viewer", "hidden_names", "record_entry", "viewer_of"]

#: Fields of a record that tell where a frame points.
POSITION_FIELDS: Final = ("ra", "dec", "azimuth", "elevation", "airmass", "object", "cass_rotator_pa")


@dataclass(frozen=True)
class Viewer:
    """Somebody who looks, at a UTC date."""

    is_staff: bool
    today: date
    granted: frozenset[DataRight] = frozenset()

    def sees_file(self, row: Any) -> bool:
        """Tell whether the bytes of a version may be given."""
        return (
            self.is_staff
            or bool(row.header_engineering)
            or self._is_released(row.header_release)
            or self._is_granted(row)
        )

    def sees_position(self, row: Any) -> bool:
        """Tell whether it may be told where a frame points."""
        return (
            self.is_staff
            or not row.header_proprietary_coordinates
            or self._is_released(row.header_release)
            or self._is_granted(row)
        )

    def hidden_position(self) -> ColumnElement[bool]:
        """Return the condition of the rows of which :meth:`sees_position` is false; it is never null."""
        if self.is_staff:
            return false()
        return and_(
            func.coalesce(header.c.proprietary_coordinates, False),
            or_(header.c.release.is_(None), header.c.release > self.today),
            *(func.coalesce(selected.GRANTED_BY[right.kind] != right.value, True) for right in self.granted),
        )

    def require_file(self, row: Any) -> None:
        """Refuse bytes that may not be given.

        Raises
        ------
        fastapi.HTTPException
            403.
        """
        if not self.sees_file(row):
            raise HTTPException(403, "not released yet: please log in")

    def require_position(self, row: Any) -> None:
        """Refuse a text that tells where a hidden frame points.

        Raises
        ------
        fastapi.HTTPException
            403.
        """
        if not self.sees_position(row):
            raise HTTPException(403, "the coordinates of this file are not public yet: please log in")

    def _is_granted(self, row: Any) -> bool:
        """Tell whether a version is of a granted program or observation, or a granted file."""
        of = {"program": row.program, "observation": row.header_observation_id, "file": row.name}
        return any(of[right.kind] == right.value for right in self.granted)

    def _is_released(self, release: date | None) -> bool:
        return release is not None and release <= self.today


def hidden_names(connection: Connection, viewer: Viewer, names: Collection[str]) -> set[str]:
    """Return those of some files of which the viewer must not learn where they point."""
    if viewer.is_staff or not names:
        return set()
    return selected.hidden_names(connection, names, viewer.hidden_position())


def record_entry(row: Any, viewer: Viewer) -> dict[str, Any]:
    """Return the record of a version as a viewer may know it, with the facts of its file."""
    record = header_values(row)
    if not viewer.sees_position(row):
        record |= dict.fromkeys(POSITION_FIELDS)
    return {**summary(record, row.filename), **file_entry(row)}


def viewer_of(request: Request) -> Viewer:
    """Return who looks, for the time of a request."""
    person = current_person(request)
    today = datetime.now(UTC).date()
    if person is None:
        return Viewer(False, today)
    return Viewer(person.may("staff"), today, person.data_rights)
