"""Ingest: from a file in the store to its rows in the database.

The decision tree: the file must exist; a present version with the same time is left alone without opening
the file; one with the same MD5 is left alone too (and its time refreshed); anything else becomes a new
version, in one transaction with the demotion of the older ones, its record, and the work that follows.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from fits_dagster.errors import FileError, TransientError
from fits_dagster.fits.fulltext import full_text
from fits_dagster.fits.guarded import Guard, inspect_guarded
from fits_dagster.fits.header_update import HeaderUpdate
from fits_dagster.fits.reading import FileInspection, inspect_file
from fits_dagster.fits.verify import Problem, check_structure
from fits_dagster.ledger.items import WorkItem
from fits_dagster.ledger.stage import Committed, NewVersion, NotReady, Stage, Subject
from fits_dagster.metadata import Description, describe
from fits_dagster.metadata.photometry import load_standards
from fits_dagster.nights import UNDATED
from fits_dagster.records import files, tables
from fits_dagster.records.files import StoredVersion
from fits_dagster.records.instruments import instrument_table
from fits_dagster.sites import Site
from fits_dagster.stages.registry import followers
from fits_dagster.storage import ObjectInfo

__all__ = ["STAGE", "IngestStage", "Observation", "observe"]

_OBSLOG: Final = re.compile(r"(20\d\d[01]\d[0-3]\d)_(.+)_obslog\.txt")
_MISC_PREFIX: Final = "miscfile_"
_FUTURE_TOLERANCE_S: Final = -60.0


@dataclass(frozen=True)
class Observation:
    """All that one pass over a file tells."""

    inspection: FileInspection
    #: Findings of the structural verification; warnings only, a refused file has no observation.
    problems: Sequence[Problem]
    #: None for a file that is no FITS file by its kind (an observation log, a miscellaneous file).
    description: Description | None
    fulltext: str | None


def observe(path: Path, filename: str) -> Observation:
    """Read a file once and describe it.

    Parameters
    ----------
    path
        The file, plain or ``.bz2``.
    filename
        Name that it has in the store.

    Raises
    ------
    FileError
        It is no FITS file, or not a whole one; the reason says which.
    """
    inspection = inspect_file(path)
    if "obslog" in filename or filename.startswith(_MISC_PREFIX):
        return Observation(inspection, (), None, None)
    problems = check_structure(inspection)
    refused = next((p for p in problems if p.severity == "refuse"), None)
    if refused is not None:
        raise FileError(f"{filename}: {refused.message}", reason=refused.code)
    description = describe(inspection.hdus, filename)
    text = full_text(filename, description.tags, inspection.hdus)
    return Observation(inspection, problems, description, text)


@dataclass(frozen=True)
class _Ingested:
    """The outcome of looking at one file; no observation means that nothing has changed."""

    info: ObjectInfo
    before: StoredVersion | None
    observation: Observation | None


class IngestStage(Stage[_Ingested]):
    """Store -> database."""

    name = "ingest"
    title = "Ingest"
    tab = "iq"
    always_has_tab = True
    asset = "observations"
    asset_description = "Records of the night's files in the database: a version and a header record each."
    after = ("copy", "edit", "store")
    words = "ingest"
    is_arrival = True
    duty = "ingests files into the database"
    services = ("service_ingest_queue1", "service_ingest_queue2")
    subject = Subject.STORED
    figures: Mapping[str, Sequence[str]] = {"{site}_database": ()}
    switches: Mapping[str, str] = {
        "force": "Make new versions of all files of the nights, even of unchanged content.",
        "force_md5": "Compare all files of the nights by MD5, not only by size and time.",
    }

    def __init__(self) -> None:
        # what makes a parser crash, hang or swallow memory must not take the worker along
        self._guard = Guard(error=FileError)

    def begin(self) -> None:
        """Start a process that reads files; that takes half a second, which the first file need not wait."""
        self._guard.begin()

    def end(self) -> None:
        """End the processes that read files."""
        self._guard.end_idle()

    def prepare(
        self, site: Site, connection: Connection, items: Sequence[WorkItem]
    ) -> Mapping[int, StoredVersion]:
        """Fetch the present version of every file of the batch."""
        present = files.present_versions(connection, ((item.name, item.path) for item in items))
        return {i.id: present[i.name, i.path] for i in items if (i.name, i.path) in present}

    def work(self, site: Site, item: WorkItem, known: StoredVersion | None) -> _Ingested:
        """Decide whether the file is new or changed, and if so read and describe it.

        Raises
        ------
        FileError
            The store does not have it (``file_missing``), or it is refused (see :func:`observe`).
        NotReady
            Somebody may still be writing it.
        """
        info = site.store.stat(item.key)
        if info is None:
            raise FileError(f"{item.key} is not in the store", reason="file_missing")
        if _is_unchanged(site, item, info, known):
            return _Ingested(info, known, None)
        with site.store.local(item.key) as path:
            if site.store.has_reliable_times and not item.no_defer:
                _defer_if_young(site, item, info, path)
            observation = inspect_guarded(self._guard, observe, path, item.filename)
            again = site.store.stat(item.key)
        if again is None or (again.size, again.modified) != (info.size, info.modified):
            raise NotReady("unstable", f"{item.key} changed while it was read", delay=1.0)
        same = (
            known is not None
            and not item.force
            and known.filename == item.filename
            and known.file_md5 == observation.inspection.file_md5
        )
        return _Ingested(info, known, None if same else observation)

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: _Ingested) -> Committed:
        """Write the new version with everything that belongs to it, and queue what follows."""
        observation = result.observation
        if observation is None:
            if result.before is not None and site.store.has_reliable_times:
                files.refresh_lastmod(connection, result.before.diskfile_id, result.info.modified)
            return Committed("unchanged", size=result.info.size)
        diskfile_id = _insert_version(connection, item, result.info, observation)
        header_id = None
        if observation.description is None:
            _insert_other(connection, item, diskfile_id)
        else:
            header_id = _insert_record(site, connection, diskfile_id, observation, observation.description)
        hint = _header_update(item, result.before, observation)
        version = NewVersion(item, diskfile_id, header_id, hint)
        follow_ups = [
            work
            for stage in followers(site.settings, self.name)
            for work in stage.work_for(site, connection, version)
        ]
        return Committed(
            "ingested",
            follow_ups=follow_ups,
            size=observation.inspection.data_size,
            detail=_detail(item, observation),
        )


def _is_unchanged(site: Site, item: WorkItem, info: ObjectInfo, known: StoredVersion | None) -> bool:
    """Tell whether a look at the file from outside is enough to leave it alone."""
    if known is None or item.force or known.filename != item.filename:
        return False
    if site.store.has_reliable_times:
        return not item.force_md5 and known.lastmod == info.modified and known.file_size == info.size
    return info.md5 is not None and info.md5 == known.file_md5


def _defer_if_young(site: Site, item: WorkItem, info: ObjectInfo, path: Path) -> None:
    """Wait with a file that was changed a moment ago, or on which somebody holds a lock."""
    patience = site.settings.defer_seconds
    if not patience:
        return
    age = (datetime.now(UTC) - info.modified).total_seconds()
    if _FUTURE_TOLERANCE_S <= age < patience:
        raise NotReady("young", f"{item.key} was changed {age:.1f} s ago", delay=patience)
    try:
        with path.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError:
        return
    except BlockingIOError as error:
        raise NotReady("locked", f"{item.key} is locked by its writer", delay=patience) from error


def _insert_version(
    connection: Connection, item: WorkItem, info: ObjectInfo, observation: Observation
) -> int:
    inspection, problems = observation.inspection, observation.problems
    if info.md5 is not None and info.md5 != inspection.file_md5:
        raise TransientError(
            f"{item.key}: the store says MD5 {info.md5}, the bytes say {inspection.file_md5}",
            reason="checksum_mismatch",
        )
    status = _metadata_status(observation.description)
    file_id = files.file_id_of(connection, item.name)
    files.supersede(connection, file_id, item.path)
    diskfile_id = files.insert_row(
        connection,
        tables.diskfile,
        {
            "file_id": file_id,
            "filename": item.filename,
            "path": item.path,
            "present": True,
            "canonical": True,
            "file_md5": inspection.file_md5,
            "file_size": inspection.file_size,
            "lastmod": info.modified,
            "compressed": inspection.compressed,
            "data_md5": inspection.data_md5,
            "data_size": inspection.data_size,
            "isfits": observation.description is not None,
            "fvwarnings": len(problems),
            "fverrors": 0,
            "mdready": status in ("CORRECT", "ENG", "BAD"),
        },
    )
    if observation.description is not None:
        files.insert_row(
            connection,
            tables.diskfile_report,
            {
                "diskfile_id": diskfile_id,
                "fvreport": "\n".join(f"{p.code}: {p.message}" for p in problems).replace("\x00", ""),
                "mdreport": "\n".join(observation.description.warnings).replace("\x00", ""),
                "mdstatus": status,
            },
        )
    return diskfile_id


def _insert_record(
    site: Site, connection: Connection, diskfile_id: int, observation: Observation, description: Description
) -> int:
    record = {name: description.record.get(name) for name in tables.HEADER_COLUMNS}
    record["phot_standard"] = _shows_a_standard(site, description)
    header_id = files.insert_row(connection, tables.header, {"diskfile_id": diskfile_id, **record})
    files.insert_row(
        connection,
        tables.fulltextheader,
        {"diskfile_id": diskfile_id, "fulltext": observation.fulltext},
    )
    files.insert_row(connection, tables.reduction, {"header_id": header_id, **description.reduction_row})
    if description.instrument_table is not None and description.instrument_rows:
        connection.execute(
            instrument_table(description.instrument_table).insert(),
            [{"header_id": header_id, **row} for row in description.instrument_rows],
        )
    if description.footprints:
        connection.execute(
            tables.footprint.insert(),
            [
                {"header_id": header_id, "extension": f.label, "corners": [list(c) for c in f.corners]}
                for f in description.footprints
            ],
        )
    return header_id


def _shows_a_standard(site: Site, description: Description) -> bool | None:
    """Tell whether an image shows a photometric standard star; None means that none is known."""
    catalogue = site.settings.photometric_standards
    if catalogue is None or description.record.get("spectroscopy") is not False:
        return None
    return load_standards(catalogue).any_inside(description.footprints) or None


def _header_update(
    item: WorkItem, before: StoredVersion | None, observation: Observation
) -> HeaderUpdate | None:
    """Return the hint that came with an item if it tells how the version before became this one."""
    hint = HeaderUpdate.of_payload(item.payload)
    if hint is None or before is None:
        return None
    contents = (before.data_md5, observation.inspection.data_md5)
    return hint if contents == (hint.data_md5_before, hint.data_md5_after) else None


def _insert_other(connection: Connection, item: WorkItem, diskfile_id: int) -> None:
    """Write the row of a file that has no header record: an observation log or a miscellaneous file."""
    match = _OBSLOG.match(item.name)
    if "obslog" in item.filename:
        files.insert_row(
            connection,
            tables.obslog,
            {
                "diskfile_id": diskfile_id,
                "program_id": match.group(2) if match else None,
                "date": date.fromisoformat(match.group(1)) if match else None,
            },
        )
    else:
        files.insert_row(
            connection, tables.miscfile, {"diskfile_id": diskfile_id, "release": datetime.now(UTC)}
        )


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


def _detail(item: WorkItem, observation: Observation) -> str:
    parts = ["no night in its name"] if item.night == UNDATED else []
    if observation.description is not None:
        parts.append(str(observation.description.record.get("instrument") or "no instrument"))
    if observation.problems:
        parts.append(f"{len(observation.problems)} warnings, first: {observation.problems[0].message}")
    return ", ".join(parts)


STAGE = IngestStage()
