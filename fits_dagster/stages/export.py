"""Export: from the store to a destination, verified at both ends.

A destination is asked first which content it has (the MD5 of the uncompressed data); the same content is not
sent again. How a destination is spoken to is the business of :mod:`fits_dagster.destinations`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from sqlalchemy import Connection

from fits_dagster.destinations.base import (
    Delivered,
    Delivery,
    Destination,
    DestinationDownError,
    NotYetThereError,
    destination_path,
    open_destination,
)
from fits_dagster.errors import FileError
from fits_dagster.fits.header_update import HeaderUpdate
from fits_dagster.headers.edits import chained
from fits_dagster.ledger.items import NewWork, WorkItem
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.ledger.stage import Committed, NewVersion, NotReady, Stage, Subject
from fits_dagster.records import files
from fits_dagster.records.files import StoredVersion
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site

__all__ = ["STAGE", "ExportStage"]

_PENDING_DELAY_S: Final = 10.0
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0


@dataclass(frozen=True)
class _Known:
    version: StoredVersion | None
    #: Seconds for which the destination is to be left alone.
    pause: float


class ExportStage(Stage[Delivered]):
    """Dataflow directory -> the archive."""

    name = "export"
    title = "Export"
    tab = "eq"
    always_has_tab = True
    asset = "exports"
    asset_description = "Files of the night that the archive holds with the same MD5."
    after = ("ingest",)
    words = "export"
    is_arrival = True
    duty = "sends files to the destinations"
    services = ("service_export_queue1", "service_export_queue2")
    retries_for_ever = True
    command = "export"
    is_local = False
    figures: Mapping[str, Sequence[str]] = {"exported": ()}
    subject = Subject.FILE

    def is_part_of(self, site: SiteSettings) -> bool:
        """Where there is somebody to send to."""
        return bool(site.export_destinations)

    def work_for(self, site: Site, connection: Connection, version: NewVersion) -> Sequence[NewWork]:
        """Return the export to every destination, with what tells how little has to be sent."""
        item, hint = version.item, version.header_update
        return [
            NewWork(
                stage=self.name,
                path=item.path,
                filename=item.filename,
                destination=url,
                priority=item.priority,
                payload=chained(
                    connection, hint, stage=self.name, path=item.path, filename=item.filename, destination=url
                ),
            )
            for url in site.settings.export_destinations
        ]

    def destinations(self, site: SiteSettings) -> Sequence[str]:
        """Return the base URLs of the servers that get every file."""
        return site.export_destinations

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str], Destination] = {}
        self._down_until: dict[str, float] = {}

    def prepare(self, site: Site, connection: Connection, items: Sequence[WorkItem]) -> Mapping[int, _Known]:
        """Fetch the present version of each file, and which destinations are to be left alone."""
        present = files.present_versions(connection, ((item.name, item.path) for item in items))
        pauses = {
            url: float(seconds) for url, seconds in connection.execute(LEDGER["destinations_to_leave_alone"])
        }
        return {i.id: _Known(present.get((i.name, i.path)), pauses.get(i.destination, 0.0)) for i in items}

    def work(self, site: Site, item: WorkItem, known: _Known) -> Delivered:
        """Bring one file to its destination, or find that it is there.

        Raises
        ------
        NotReady
            The destination is being left alone, or is still ingesting this file.
        TransientError
            It is down, or did not confirm what it was sent.
        FileError
            There is no present version here.
        """
        pause = max(known.pause, self._down_until.get(item.destination, 0.0) - time.monotonic())
        if pause > 0:
            raise NotReady("destination_down", f"{item.destination} is left alone for now", delay=pause)
        version = known.version
        if version is None:
            raise FileError(f"{item.key} has no present version here", reason="no_present_version")
        delivery = Delivery(
            name=version.name,
            path=destination_path(item.path, site.settings.export_path_map),
            file_md5=version.file_md5,
            data_md5=version.data_md5,
            local=partial(site.store.local, item.key),
            header_update=HeaderUpdate.of_payload(item.payload),
        )
        try:
            outcome = self._destination(site, item.destination).deliver(delivery)
        except NotYetThereError as error:
            raise NotReady("pending_at_destination", str(error), delay=_PENDING_DELAY_S) from error
        except DestinationDownError:
            self._down_until[item.destination] = time.monotonic() + _FIRST_PAUSE_S
            raise
        self._down_until.pop(item.destination, None)
        return replace(outcome, content=version.data_md5)

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: Delivered) -> Committed:
        """Note that the destination is well."""
        connection.execute(
            LEDGER["destination_is_up"],
            {"url": item.destination},
        )  # fmt: skip
        return Committed(result.outcome, size=result.size, detail=result.detail, content=result.content)

    def after_failure(self, site: Site, connection: Connection, item: WorkItem, error: BaseException) -> None:
        """Leave a destination that is down alone as a whole: one probe later, not a time-out per file."""
        if not isinstance(error, DestinationDownError):
            return
        values = {
            "url": item.destination,
            "error": str(error)[:500],
            "first": _FIRST_PAUSE_S,
            "cap": _LONGEST_PAUSE_S,
        }
        connection.execute(
            LEDGER["destination_is_down"],
            values,
        )
        # "never shorten": items that wait longer already stay as they are
        connection.execute(
            LEDGER["wait_for_destination"],
            values,
        )

    def _destination(self, site: Site, address: str) -> Destination:
        """Return a destination, opened once for each site's settings."""
        key = (address, site.settings.model_dump_json())
        if key not in self._opened:
            self._opened[key] = open_destination(address, site.settings)
        return self._opened[key]


STAGE = ExportStage()
