"""New versions of files: all rows that belong to them, of a whole group in a few statements."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Table

from fits_dagster.ledger.items import WorkItem
from fits_dagster.metadata import Description
from fits_dagster.metadata.photometry import load_standards
from fits_dagster.records import files, tables
from fits_dagster.records.instruments import instrument_table
from fits_dagster.sites import Site
from fits_dagster.stages.observation import Observation
from fits_dagster.storage import ObjectInfo

__all__ = ["Arrival", "Written", "write_versions"]

_OBSLOG: Final = re.compile(r"(20\d\d[01]\d[0-3]\d)_(.+)_obslog\.txt")

_Row = Mapping[str, Any]


@dataclass(frozen=True)
class Arrival:
    """A file that is new or has changed, and what was seen of it."""

    item: WorkItem
    info: ObjectInfo
    observation: Observation


@dataclass(frozen=True)
class Written:
    """The rows of a new version."""

    diskfile_id: int
    #: None for a file that has no header record.
    header_id: int | None


def write_versions(site: Site, connection: Connection, arrivals: Sequence[Arrival]) -> Sequence[Written]:
    """Write new versions with everything that belongs to them; older ones at the same places are demoted.

    Parameters
    ----------
    arrivals
        A name at a path no more than once.
    """
    ids = files.file_ids_of(connection, [each.item.name for each in arrivals])
    places = [(ids[each.item.name], each.item.path) for each in arrivals]
    files.supersede(connection, places)
    versions = files.insert_rows(
        connection,
        tables.diskfile,
        [_version(each, file_id) for each, (file_id, _) in zip(arrivals, places, strict=True)],
    )
    described = [
        (each, version, each.observation.description)
        for each, version in zip(arrivals, versions, strict=True)
        if each.observation.description is not None
    ]
    headers = files.insert_rows(
        connection,
        tables.header,
        [{"diskfile_id": version, **_record(site, description)} for _, version, description in described],
    )
    rows: dict[Table, list[_Row]] = defaultdict(list)
    for (each, version, description), header in zip(described, headers, strict=True):
        for table, row in _of_a_header(each.observation, description, version, header):
            rows[table].append(row)
    for each, version in zip(arrivals, versions, strict=True):
        if each.observation.description is None:
            table, row = _of_another(each.item, version)
            rows[table].append(row)
    for table, of_table in rows.items():
        connection.execute(table.insert(), of_table)
    header_of = {version: header for (_, version, _), header in zip(described, headers, strict=True)}
    return [Written(version, header_of.get(version)) for version in versions]


def _version(arrival: Arrival, file_id: int) -> _Row:
    item, observation = arrival.item, arrival.observation
    inspection = observation.inspection
    return {
        "file_id": file_id,
        "filename": item.filename,
        "path": item.path,
        "present": True,
        "canonical": True,
        "file_md5": inspection.file_md5,
        "file_size": inspection.file_size,
        "lastmod": arrival.info.modified,
        "compressed": inspection.compressed,
        "data_md5": inspection.data_md5,
        "data_size": inspection.data_size,
        "isfits": observation.description is not None,
        "fvwarnings": len(observation.problems),
        "fverrors": 0,
        "mdready": _metadata_status(observation.description) in ("CORRECT", "ENG", "BAD"),
    }


def _record(site: Site, description: Description) -> _Row:
    record = {name: description.record.get(name) for name in tables.HEADER_COLUMNS}
    record["phot_standard"] = _shows_a_standard(site, description)
    return record


def _of_a_header(
    observation: Observation, description: Description, version: int, header: int
) -> Iterator[tuple[Table, _Row]]:
    """Yield the rows that go with a header record, with their tables."""
    problems = observation.problems
    yield (
        tables.diskfile_report,
        {
            "diskfile_id": version,
            "fvreport": "\n".join(f"{p.code}: {p.message}" for p in problems).replace("\x00", ""),
            "mdreport": "\n".join(description.warnings).replace("\x00", ""),
            "mdstatus": _metadata_status(description),
        },
    )
    yield tables.fulltextheader, {"diskfile_id": version, "fulltext": observation.fulltext}
    yield tables.reduction, {"header_id": header, **description.reduction_row}
    if description.instrument_table is not None:
        for row in description.instrument_rows:
            yield instrument_table(description.instrument_table), {"header_id": header, **row}
    for area in description.footprints:
        corners = [list(corner) for corner in area.corners]
        yield tables.footprint, {"header_id": header, "extension": area.label, "corners": corners}


def _shows_a_standard(site: Site, description: Description) -> bool | None:
    """Tell whether an image shows a photometric standard star; None means that none is known."""
    catalogue = site.settings.photometric_standards
    if catalogue is None or description.record.get("spectroscopy") is not False:
        return None
    return load_standards(catalogue).any_inside(description.footprints) or None


def _of_another(item: WorkItem, version: int) -> tuple[Table, _Row]:
    """Return the row of a file that has no header record: an observation log or a miscellaneous file."""
    if "obslog" not in item.filename:
        return tables.miscfile, {"diskfile_id": version, "release": datetime.now(UTC)}
    match = _OBSLOG.match(item.name)
    row = {
        "diskfile_id": version,
        "program_id": match.group(2) if match else None,
        "date": date.fromisoformat(match.group(1)) if match else None,
    }
    return tables.obslog, row


def _metadata_status(description: Description | None) -> str:
    """Judge whether a record is fit for searches: the outcome of the metadata check."""
    if description is None:
        return "NOPASS"
    record = description.record
    if record.get("engineering"):
        return "ENG"
    if record.get("qa_state") == "Fail":
        return "BAD"
    if description.observatory is None:
        return "NOTGEMINI"
    if record.get("ut_datetime") is None:
        return "NODATE"
    return "CORRECT"
