"""What is asked of a selection besides its versions: headers, observations, logs, files to queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, select

from fits_dagster.records.tables import diskfile, file, header, obslog

__all__ = [
    "GRANTED_BY",
    "QA_COLUMNS",
    "current_files_query",
    "headers_query",
    "hidden_names",
    "observations_query",
    "observing_logs_query",
    "targets_query",
]

#: What the observing database asks for.
QA_COLUMNS: Final = (
    header.c.data_label,
    file.c.name,
    diskfile.c.data_md5,
    diskfile.c.entrytime,
    header.c.qa_state,
)
# under a name of its own: who asks may have joined the table, too
_file: Final = file.alias()
#: What of a header a right to its data names, by the kind of the right.
GRANTED_BY: Final[Mapping[str, ColumnElement[str]]] = {
    "program": header.c.program_id,
    "observation": header.c.observation_id,
    "file": select(_file.c.name).where(_file.c.id == diskfile.c.file_id).scalar_subquery(),
}
#: Programs of this kind are for tests of the system.
_TESTS: Final = "SV-101"


def headers_query(*columns: ColumnElement[Any]) -> Select[Any]:
    """Select columns of headers, their versions and their files."""
    joined = header.join(diskfile, diskfile.c.id == header.c.diskfile_id).join(file)
    return select(*columns).select_from(joined)


def targets_query(
    where: ColumnElement[bool], *columns: ColumnElement[Any], most: int, for_operators: bool = False
) -> Select[Any]:
    """Select the current headers of a selection whose calibrations are asked for, the newest first.

    Parameters
    ----------
    columns
        Columns behind the header's id.
    for_operators
        Without what nobody takes calibrations for: failed, engineering and test data.
    """
    query = headers_query(header.c.id, *columns).where(diskfile.c.canonical, where)
    if for_operators:
        query = query.where(
            header.c.qa_state != "Fail",
            header.c.engineering.is_(False),
            func.coalesce(header.c.program_id, "").not_like(f"%{_TESTS}%"),
        )
    return query.order_by(header.c.ut_datetime.desc().nulls_last(), header.c.id.desc()).limit(most)


def observations_query(where: ColumnElement[bool]) -> Select[Any]:
    """Select programs, observations and instruments with their numbers of files."""
    columns = (header.c.program_id, header.c.observation_id, header.c.instrument)
    return headers_query(*columns, func.count()).where(where).group_by(*columns).order_by(*columns)


def observing_logs_query(*, most: int) -> Select[Any]:
    """Select present observing logs, the newest first."""
    return (
        select(obslog.c.date, obslog.c.program_id, diskfile.c.path, diskfile.c.filename)
        .select_from(obslog.join(diskfile, diskfile.c.id == obslog.c.diskfile_id))
        .where(diskfile.c.present)
        .order_by(obslog.c.date.desc(), diskfile.c.filename)
        .limit(most)
    )


def current_files_query(*columns: ColumnElement[Any]) -> Select[Any]:
    """Select path, file name and further columns of versions, those without a header too."""
    return select(diskfile.c.path, diskfile.c.filename, *columns).select_from(
        diskfile.join(file).outerjoin(header, header.c.diskfile_id == diskfile.c.id)
    )


def hidden_names(connection: Connection, names: Collection[str], hidden: ColumnElement[bool]) -> set[str]:
    """Return those of some files for which a condition of their headers holds."""
    return set(connection.scalars(headers_query(file.c.name).where(file.c.name.in_(names), hidden)))
