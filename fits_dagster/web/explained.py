"""Why a file has the calibrations that it has, as far as the viewer may know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import HTTPException, Request
from sqlalchemy import Connection

from fits_dagster.calibration.explain import explain_all
from fits_dagster.calibration.lookup import current_header
from fits_dagster.records.selected import headers_query
from fits_dagster.records.tables import file, header
from fits_dagster.web.access import site_of
from fits_dagster.web.visibility import POSITION_FIELDS, Viewer, hidden_names, viewer_of

__all__ = ["explained"]

#: Instead of what a candidate has, where that would tell where it points.
_UNTOLD: Final = {"found": "not public yet", "by": ""}
_TARGET: Final = headers_query(
    header.c.proprietary_coordinates.label("header_proprietary_coordinates"),
    header.c.release.label("header_release"),
    header.c.observation_id.label("header_observation_id"),
    header.c.program_id.label("program"),
    file.c.name,
)


def explained(request: Request, name: str, caltype: str | None = None) -> Mapping[str, dict[str, Any]]:
    """Explain the calibrations of a file by type, ready for JSON.

    Parameters
    ----------
    caltype
        The only type to explain; by default all that the file needs.

    Raises
    ------
    fastapi.HTTPException
        404 if there is no such file; 403 if it must not be told where it points: elevation and rotator angle
        tell that, too.
    """
    viewer = viewer_of(request)
    with site_of(request).engine.connect() as connection:
        try:
            found = explain_all(connection, name, caltype)
        except LookupError as error:
            raise HTTPException(404, str(error)) from error
        viewer.require_position(
            connection.execute(_TARGET.where(header.c.id == current_header(connection, name))).one()
        )
        by_type = {each.caltype: each.as_dict() for each in found}
        _hide(connection, viewer, list(by_type.values()))
    plain: dict[str, dict[str, Any]] = _plain(by_type)
    return plain


def _hide(connection: Connection, viewer: Viewer, explanations: Sequence[Mapping[str, Any]]) -> None:
    candidates = [each for one in explanations for each in (*one["chosen"], *one["nearest"])]
    hidden = hidden_names(connection, viewer, {each["name"] for each in candidates})
    for candidate in candidates:
        if candidate["name"] in hidden:
            candidate["misses"] = [
                each | _UNTOLD if each["what"] in POSITION_FIELDS else each for each in candidate["misses"]
            ]


def _plain(value: Any) -> Any:
    """Return a value with everything that JSON does not know as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(sep=" ")
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
