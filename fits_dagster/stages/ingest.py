"""Ingest: from a file in the store to its rows in the database.

The decision tree: the file must exist; a present version with the same time is left alone without opening
the file; one with the same MD5 is left alone too (and its time refreshed); anything else becomes a new
version, in one transaction with the demotion of the older ones, its record, and the work that follows.
"""

from __future__ import annotations

import fcntl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from fits_dagster.errors import FileError
from fits_dagster.fits.guarded import Guard, inspect_guarded
from fits_dagster.fits.header_update import HeaderUpdate
from fits_dagster.fits.names import COMPRESSED_SUFFIX
from fits_dagster.fits.readers import READERS
from fits_dagster.ledger.items import WorkItem
from fits_dagster.ledger.stage import Committed, NewVersion, NotReady, Stage, Subject
from fits_dagster.nights import UNDATED
from fits_dagster.previews.guarded import Sketch
from fits_dagster.records import files
from fits_dagster.records.files import StoredVersion
from fits_dagster.sites import Site
from fits_dagster.stages.new_versions import Arrival, write_versions
from fits_dagster.stages.observation import Observation, observe, observe_and_draw
from fits_dagster.stages.registry import followers
from fits_dagster.stages.sketches import Sketches
from fits_dagster.storage import ObjectInfo, require_md5
from fits_dagster.storage.landing import md5_of

__all__ = ["STAGE", "IngestStage", "Observation", "observe"]

_FUTURE_TOLERANCE_S: Final = -60.0
_READER_LOST: Final = frozenset({"parser_crash", "parser_timeout"})


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
        self._guard = Guard(error=FileError, readers=READERS)

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
        TransientError
            Its bytes are not those that the store promises (``checksum_mismatch``).
        """
        info = site.store.stat(item.key)
        if info is None:
            raise FileError(f"{item.key} is not in the store", reason="file_missing")
        if _is_unchanged(site, item, info, known):
            return _Ingested(info, known, None)
        # a compressed file is decompressed once, for its record and its preview
        draws = site.settings.using_previews and item.filename.endswith(COMPRESSED_SUFFIX)
        keep = site.settings.using_previews and not draws
        with site.store.handed_on(item.key, info, verify=False, keep=keep) as path:
            if site.store.has_reliable_times and not item.no_defer:
                _defer_if_young(site, item, info, path)
            observation, sketch = self._observe(path, item.filename, info, draws=draws)
            # bytes of the MD5 that the store has told are those it has told of
            again = site.store.stat(item.key) if info.md5 is None else info
        if again is None or (again.size, again.modified) != (info.size, info.modified):
            raise NotReady("unstable", f"{item.key} changed while it was read", delay=1.0)
        same = (
            known is not None
            and not item.force
            and known.filename == item.filename
            and known.file_md5 == observation.inspection.file_md5
        )
        if sketch is not None and not same and site.settings.staging_directory is not None:
            Sketches(site.settings.staging_directory).give(item.key, observation.inspection.file_md5, sketch)
        return _Ingested(info, known, None if same else observation)

    def _observe(
        self, path: Path, filename: str, info: ObjectInfo, *, draws: bool
    ) -> tuple[Observation, Sketch | None]:
        """Read a file once; what was damaged on its way from the store is no fault of the file."""
        try:
            observation, sketch = self._observed(path, filename, draws=draws)
        except FileError:
            if info.md5 is not None:
                require_md5(info, md5_of(path))
            raise
        require_md5(info, observation.inspection.file_md5)
        return observation, sketch

    def _observed(self, path: Path, filename: str, *, draws: bool) -> tuple[Observation, Sketch | None]:
        """Read a file under the guard; what drawing does to its reader is no fault of the reading."""
        if draws:
            try:
                return inspect_guarded(self._guard, observe_and_draw, path, filename)
            except FileError as error:
                if error.reason not in _READER_LOST:
                    raise
        return inspect_guarded(self._guard, observe, path, filename), None

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: _Ingested) -> Committed:
        """Write the new version with everything that belongs to it, and queue what follows."""
        return self.commit_group(site, connection, [(item, result)])[0]

    def commit_group(
        self, site: Site, connection: Connection, group: Sequence[tuple[WorkItem, _Ingested]]
    ) -> Sequence[Committed]:
        """Write the new versions of many files in a few statements, and queue what follows."""
        if len({(item.name, item.path) for item, _ in group}) < len(group):
            # X.fits and X.fits.bz2 are one file: the second supersedes the first
            return [self.commit(site, connection, item, result) for item, result in group]
        arrivals = [
            Arrival(item, result.info, result.observation)
            for item, result in group
            if result.observation is not None
        ]
        written = dict(
            zip(
                (each.item.id for each in arrivals),
                write_versions(site, connection, arrivals) if arrivals else (),
                strict=True,
            )
        )
        versions = [
            NewVersion(
                item, written[item.id].diskfile_id, written[item.id].header_id, _header_update(item, result)
            )
            for item, result in group
            if item.id in written
        ]
        follow_ups = [
            work
            for stage in followers(site.settings, self.name)
            for work in stage.work_for_all(site, connection, versions)
        ]
        committed = [_committed(site, connection, item, result) for item, result in group]
        # they are of one transaction, whichever file they are told with
        return [replace(committed[0], follow_ups=follow_ups), *committed[1:]]


def _committed(site: Site, connection: Connection, item: WorkItem, result: _Ingested) -> Committed:
    """Tell what the end means for a file; of an unchanged one, note its time."""
    observation = result.observation
    if observation is not None:
        return Committed(
            "ingested",
            size=observation.inspection.data_size,
            detail=_detail(item, observation),
            content=observation.inspection.data_md5,
        )
    if result.before is not None and site.store.has_reliable_times:
        files.refresh_lastmod(connection, result.before.diskfile_id, result.info.modified)
    content = result.before.data_md5 if result.before is not None else ""
    return Committed("unchanged", size=result.info.size, content=content)


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


def _header_update(item: WorkItem, result: _Ingested) -> HeaderUpdate | None:
    """Return the hint that came with an item if it tells how the version before became this one."""
    hint, before = HeaderUpdate.of_payload(item.payload), result.before
    if hint is None or before is None or result.observation is None:
        return None
    contents = (before.data_md5, result.observation.inspection.data_md5)
    return hint if contents == (hint.data_md5_before, hint.data_md5_after) else None


def _detail(item: WorkItem, observation: Observation) -> str:
    parts = ["no night in its name"] if item.night == UNDATED else []
    if observation.description is not None:
        parts.append(str(observation.description.record.get("instrument") or "no instrument"))
    if observation.problems:
        parts.append(f"{len(observation.problems)} warnings, first: {observation.problems[0].message}")
    return ", ".join(parts)


STAGE = IngestStage()
