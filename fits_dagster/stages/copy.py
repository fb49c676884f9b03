"""Copy: from the DHS directory to the dataflow directory, verified, in one visible step.

A DHS file is written slowly in place, under its final name. It counts as complete when its size and time
have been *seen* unchanged for a while (no clock is compared with another) and its headers' block arithmetic
says that every byte is there. What landed is remembered by size and time, so a change is copied again; the
dataflow file is never compared with the DHS file, for its headers are legitimately edited afterwards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from fits_dagster.errors import FileError
from fits_dagster.fits.verify import CompletenessState, completeness
from fits_dagster.intake.dhs import COPY, DhsWatch, is_ignored, scan_dhs
from fits_dagster.intake.room import require_room
from fits_dagster.ledger.items import CONTENT, NewWork, WorkItem
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.ledger.stage import Committed, NotReady, Stage
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site
from fits_dagster.storage import DirectoryStore, check_key
from fits_dagster.storage.entries import open_regular
from fits_dagster.storage.landing import copy_hashed, land, md5_of, temporary_beside

__all__ = ["STAGE", "CopyStage", "is_ignored", "scan_dhs"]

_SCAN_EVERY_S: Final = 0.3
_LOOK_AGAIN_S: Final = 0.5
_PATIENT_LOOK_S: Final = 5.0
#: A file that ends before its last promised extension may still grow; some never keep the promise.
_EXTENSIONS_PATIENCE_S: Final = 10.0
#: All bytes are there, but the last are NUL or the last fill is missing: the writer may be at it still.
_DOUBT_PATIENCE_S: Final = 60.0
#: A header that no further byte mends can only be written anew, which is seen as a change.
_BROKEN_PATIENCE_S: Final = 10.0


@dataclass(frozen=True)
class _Landed:
    size: int
    mtime_ns: int
    md5: str
    adopted: bool


class CopyStage(Stage[_Landed]):
    """DHS directory -> dataflow directory."""

    name = COPY
    title = "Copy"
    tab = "dq"
    asset = "dataflow_files"
    asset_description = "Files of the night in the dataflow directory: copied from the DHS, whole, verified."
    sensor = "dhs_files"
    sensor_description = "New and changed files in the DHS directory."
    words = "the copy from the DHS"
    duty = "copies files from the DHS"
    services = ("copy_from_dhs",)
    subject = None
    takes_in = True
    figures: Mapping[str, Sequence[str]] = {"dataflow": ()}
    look_every_s = _SCAN_EVERY_S

    def is_part_of(self, site: SiteSettings) -> bool:
        """Where a data handling system writes."""
        return site.dhs_directory is not None

    def watch(self, site: Site) -> Callable[[], object]:
        """Return what queues what is new in the DHS directory."""
        return DhsWatch(site).look

    def prepare(self, site: Site, connection: Connection, items: Sequence[WorkItem]) -> Mapping[int, Any]:
        """Nothing is needed: an item carries what was seen of its file."""
        return {}

    def work(self, site: Site, item: WorkItem, known: Any) -> _Landed:
        """Copy one file when it is complete.

        Raises
        ------
        NotReady
            It is young, grows, or lacks bytes that may still come; or the disk has no room for it.
        FileError
            It stopped changing and is no whole FITS file (``not_fits``, ``truncated``, ``bad_header``), is
            no regular file (``not_a_file``, ``is_a_link``, ``is_a_directory``), or its name is refused.
        FileNotFoundError
            It vanished.
        OSError
            It cannot be read now.
        """
        directory = site.settings.dhs_directory
        assert directory is not None and isinstance(site.store, DirectoryStore)
        _refuse_name(item)
        with open_regular(directory / item.filename, links=site.settings.dhs_links) as source:
            stat = os.fstat(source.fileno())
            since = self._wait_until_stable(site, item, stat)
            self._check_complete(site, item, source, stat, since)
            require_room(site, site.store.root, stat.st_size)
            return self._copy(site.store, item, source, stat)

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: _Landed) -> Committed:
        """Remember what landed and queue its ingest."""
        values = {
            "name": item.filename,
            "size": result.size,
            "mtime_ns": result.mtime_ns,
            "md5": result.md5,
        }
        connection.execute(LEDGER["save_landed"], values)
        return Committed(
            "adopted" if result.adopted else "copied",
            follow_ups=[
                NewWork(
                    stage="ingest",
                    filename=item.filename,
                    priority=item.priority,
                    no_defer=True,
                    payload={CONTENT: result.md5},
                )
            ],
            size=result.size,
            detail=f"md5 {result.md5}",
            content=result.md5,
        )

    def _wait_until_stable(self, site: Site, item: WorkItem, stat: os.stat_result) -> float:
        """Return for how long the file has been seen as it is, seconds, once that is long enough."""
        now = time.time()
        seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        before = {key: item.payload.get(key) for key in seen}
        if before != seen:
            raise NotReady(
                "unstable",
                f"{item.filename} changes ({stat.st_size} bytes)"
                if before["size"] is not None
                else "first seen",
                delay=max(_LOOK_AGAIN_S, min(site.settings.dhs_stable_seconds, _PATIENT_LOOK_S)),
                payload={**seen, "since": now, "retried": False},
            )
        unchanged = now - float(item.payload.get("since", now))
        if unchanged < 0:
            raise NotReady(
                "unstable",
                f"{item.filename}: the clock was set back",
                delay=_LOOK_AGAIN_S,
                payload={**seen, "since": now},
            )
        if unchanged < site.settings.dhs_stable_seconds:
            raise NotReady(
                "unstable",
                f"{item.filename} has been unchanged for {unchanged:.1f} s",
                delay=site.settings.dhs_stable_seconds - unchanged,
            )
        return unchanged

    def _check_complete(
        self, site: Site, item: WorkItem, source: FileIO, stat: os.stat_result, unchanged: float
    ) -> None:
        found = completeness(source)
        if found.state is CompletenessState.COMPLETE:
            patience = min(_DOUBT_PATIENCE_S, site.settings.dhs_give_up_seconds)
            if found.doubt and unchanged < patience and not item.payload.get("retried"):
                raise NotReady("incomplete", f"{item.filename}: {found.doubt}", delay=_PATIENT_LOOK_S)
            promised = found.declared_extensions or 0
            if found.extensions < promised and unchanged < _EXTENSIONS_PATIENCE_S:
                # whole so far, but its primary header promises more extensions than have come
                raise NotReady(
                    "incomplete",
                    f"{item.filename}: {found.extensions} of {promised} extensions are there",
                    delay=_LOOK_AGAIN_S,
                )
            return
        patience = site.settings.dhs_give_up_seconds
        if found.state is CompletenessState.BROKEN:
            patience = min(patience, _BROKEN_PATIENCE_S)
        if unchanged < patience and not item.payload.get("retried"):
            raise NotReady(
                "incomplete",
                f"{item.filename}: {found.message}",
                delay=min(_PATIENT_LOOK_S, max(_LOOK_AGAIN_S, unchanged)),
            )
        reason = "bad_header" if found.code == "bad_mandatory_card" else found.code
        raise FileError(f"{item.filename}: {found.message}", reason=reason)

    def _copy(self, store: DirectoryStore, item: WorkItem, source: FileIO, before: os.stat_result) -> _Landed:
        target = store.path_of(item.filename)
        temporary = temporary_beside(target)
        try:
            source.seek(0)
            with temporary.open("xb") as writer:
                size, md5 = copy_hashed(source, writer)
                after = os.fstat(source.fileno())
            if (after.st_size, after.st_mtime_ns) != (
                before.st_size,
                before.st_mtime_ns,
            ) or size != after.st_size:
                raise NotReady(
                    "unstable", f"{item.filename} changed while it was copied", delay=_LOOK_AGAIN_S
                )
            # a copy that landed just before a crash is adopted, and keeps its time
            adopted = _same_content(target, size, md5)
            if not adopted:
                land(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return _Landed(size, before.st_mtime_ns, md5, adopted)


def _refuse_name(item: WorkItem) -> None:
    """Refuse what the scan has found to have no name of its own that could be kept."""
    if item.payload.get("refused") in ("unsafe_name", "name_collision"):
        raise FileError(str(item.payload.get("detail")), reason=str(item.payload["refused"]))
    check_key(item.filename)


def _same_content(path: Path, size: int, md5: str) -> bool:
    try:
        if path.stat().st_size != size:
            return False
        return md5_of(path) == md5
    except FileNotFoundError:
        return False


STAGE = CopyStage()
