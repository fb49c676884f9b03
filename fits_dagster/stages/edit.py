"""Edit: the header edits that were asked for, applied to a file of the dataflow directory.

All edits of a file that wait are applied in the order in which they were asked for, as one change: the file
is written anew beside the old one and takes its place in one step. The DHS original stays as it is. Doing it
twice changes nothing the second time, so a worker that is killed after the file was written and before that
was noted does no harm: the repeat finds the cards as wanted, and the file goes on to ingest all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from fits_dagster.errors import FileError
from fits_dagster.fits.edit import EditReport
from fits_dagster.fits.edited import EditValue
from fits_dagster.fits.header_update import HeaderUpdate
from fits_dagster.headers.apply import EditRefusedError, check_edit, edit_file, keywords_of
from fits_dagster.headers.edits import WaitingEdit, chained, settle_edits, waiting_edits
from fits_dagster.headers.request import RefusedItemError
from fits_dagster.ledger.items import NewWork, WorkItem
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.ledger.stage import Committed, NotReady, Stage
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site
from fits_dagster.storage import DirectoryStore
from fits_dagster.storage.entries import is_regular

__all__ = ["STAGE", "EditStage"]

_AFTER_COPY_S: Final = 2.0
#: Key of a payload: edits that were refused, by their ids, and why.
_REFUSED: Final = "refused"


@dataclass(frozen=True)
class _Known:
    edits: Sequence[WaitingEdit]
    #: Whether a newer DHS file is about to replace this one.
    is_being_copied: bool


@dataclass(frozen=True)
class _Edited:
    #: What was done to the file; None if no edit could be applied.
    report: EditReport | None
    cards: Mapping[str, EditValue] = field(default_factory=dict)
    applied: Sequence[int] = ()
    refused: Mapping[int, str] = field(default_factory=dict)


class EditStage(Stage[_Edited]):
    """Header edits -> dataflow directory."""

    name = "edit"
    title = "Header edits"
    tab = "fq"
    asset = "header_updates"
    asset_description = "Header edits of the night's files that were applied."
    after = ("copy",)
    words = "a header edit"
    duty = "applies header updates"
    services = ("service_fileops_queue",)
    subject = None

    def is_part_of(self, site: SiteSettings) -> bool:
        """Where files are edited in place: beside the data handling system."""
        return site.dhs_directory is not None

    def is_on_the_way(self, site: Site) -> bool:
        """Only files for which an edit was asked come here."""
        return False

    def prepare(self, site: Site, connection: Connection, items: Sequence[WorkItem]) -> Mapping[int, _Known]:
        """Fetch the edits that wait for each file, and look which files are about to be copied again."""
        # what a person lets try again is tried again
        again = [number for item in items if item.payload.get("retried") for number in _refused(item)]
        edits = waiting_edits(connection, ((i.path, i.filename) for i in items), again=again)
        copied = set(connection.scalars(LEDGER["files_being_copied"], {"names": [i.filename for i in items]}))
        return {
            i.id: _Known(edits.get((i.path, i.filename), ()), not i.path and i.filename in copied)
            for i in items
        }

    def work(self, site: Site, item: WorkItem, known: _Known) -> _Edited:
        """Apply the edits of one file.

        Raises
        ------
        NotReady
            The DHS has a newer file, which is copied first, lest the edits be lost.
        EditRefusedError
            Edits of this file could not be applied; the others were, before.
        FileError
            The file is not there, or is no whole FITS file; its edits wait for it.
        TransientError
            Another changed it meanwhile (``changed``).
        """
        assert isinstance(site.store, DirectoryStore)
        if known.is_being_copied:
            raise NotReady("copy_pending", f"{item.key} is about to be copied again", delay=_AFTER_COPY_S)
        if not known.edits:
            if refused := _refused(item):
                raise EditRefusedError(f"{item.key}: {'; '.join(refused.values())}")
            return _Edited(None)
        path = site.store.path_of(item.key)
        if not is_regular(path):
            raise FileError(f"{item.key} is not in the store", reason="file_missing")
        present = keywords_of(path) if any(edit.required for edit in known.edits) else ()
        cards: dict[str, EditValue] = {}
        applied: list[int] = []
        refused = {}
        for edit in known.edits:
            try:
                check_edit(edit, present, cards)
            except RefusedItemError as error:
                refused[edit.id] = str(error)
            else:
                cards.update(edit.cards)
                applied.append(edit.id)
        report = edit_file(path, cards) if applied else None
        return _Edited(report, cards, applied, refused)

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: _Edited) -> Committed:
        """Note what was applied, and queue the ingest of the file; a refusal is left to be told."""
        settle_edits(connection, result.applied, result.refused)
        follow_ups = []
        if result.report is not None:
            payload = chained(
                connection, _hint(result), stage="ingest", path=item.path, filename=item.filename
            )
            follow_ups.append(
                NewWork(
                    stage="ingest",
                    path=item.path,
                    filename=item.filename,
                    priority=item.priority,
                    no_defer=True,
                    # two edits in quick succession may leave time and size as they are
                    force_md5=True,
                    payload=payload,
                )
            )
        earlier = {number: why for number, why in _refused(item).items() if number not in result.applied}
        refused = {**earlier, **result.refused}
        if refused:
            # an item of its own fails with them: what could be done is done, whatever becomes of it
            follow_ups.append(
                NewWork(
                    stage=self.name,
                    path=item.path,
                    filename=item.filename,
                    priority=item.priority,
                    payload={_REFUSED: {str(number): why for number, why in refused.items()}},
                )
            )
        return _committed(result, follow_ups)


def _hint(result: _Edited) -> HeaderUpdate | None:
    """Tell how the content before became the content after; None if it is the same."""
    report = result.report
    if report is None or report.data_md5 == report.data_md5_before:
        return None
    return HeaderUpdate(tuple(result.cards.items()), report.data_md5_before, report.data_md5)


def _refused(item: WorkItem) -> Mapping[int, str]:
    """Return the refusals that an item was made to tell, by the ids of the edits."""
    return {int(number): str(why) for number, why in item.payload.get(_REFUSED, {}).items()}


def _committed(result: _Edited, follow_ups: Sequence[NewWork]) -> Committed:
    report = result.report
    if report is None:
        outcome = "refused" if result.refused else "no_edits"
        return Committed(outcome, follow_ups=follow_ups, detail="; ".join(result.refused.values()))
    return Committed(
        "edited" if report.changes else "unchanged",
        follow_ups=follow_ups,
        size=report.data_size,
        content=report.data_md5,
        detail="; ".join([*report.changes, *report.warnings, *result.refused.values()]),
    )


STAGE = EditStage()
