"""Export: from the dataflow directory to another server, over HTTP, verified at both ends.

The destination is asked first which content it has (the MD5 of the uncompressed data); the same content is
not sent again. Where only header cards were edited since, the cards are sent and the destination makes the
same content of them; a destination that does not gets the file. Data travel bzip2-compressed, compressed
while they stream. The destination's answer must confirm exactly what was sent, or nothing counts as done.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import requests
from sqlalchemy import Connection, text

from fits_dagster import __version__
from fits_dagster.destinations.fits_server import (
    UPLOAD_COOKIE,
    DestinationDownError,
    HeaderUpdateRefusedError,
    ask,
    send_file,
    send_header_update,
)
from fits_dagster.errors import FileError
from fits_dagster.fits.header_update import HeaderUpdate
from fits_dagster.headers.edits import chained
from fits_dagster.ledger.items import NewWork, WorkItem
from fits_dagster.ledger.stage import Committed, NewVersion, NotReady, Stage
from fits_dagster.records import files
from fits_dagster.records.files import StoredVersion
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site

__all__ = ["STAGE", "ExportStage", "destination_path"]

log = logging.getLogger(__name__)

_DATE: Final = r"20\d\d[01]\d[0123]\d"
_PENDING_DELAY_S: Final = 10.0
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0
#: A destination that does not take header edits is not asked again for so long.
_NO_EDITS_S: Final = 300.0


def destination_path(path: str, path_map: Mapping[str, str]) -> str:
    """Map a local path to the path at a destination.

    Parameters
    ----------
    path_map
        Regular expression that must match the whole local path -> path there; the first match counts,
        and ``<DATE>`` stands for a date.
    """
    for pattern, there in path_map.items():
        if re.fullmatch(pattern.replace("<DATE>", _DATE), path):
            return there
    return path


@dataclass(frozen=True)
class _Known:
    version: StoredVersion | None
    #: Seconds for which the destination is to be left alone.
    pause: float


@dataclass(frozen=True)
class _Exported:
    outcome: str
    size: int
    detail: str


class ExportStage(Stage[_Exported]):
    """Dataflow directory -> the archive."""

    name = "export"
    title = "Export"
    tab = "eq"
    always_has_tab = True
    asset = "exports"
    asset_description = "Files of the night that the archive holds with the same MD5."
    after = ("ingest",)
    words = "the export"
    is_arrival = True
    duty = "sends files to the destinations"
    services = ("service_export_queue1", "service_export_queue2")
    retries_for_ever = True

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

    def __init__(self) -> None:
        self._local = threading.local()
        self._down_until: dict[str, float] = {}
        self._no_edits_until: dict[str, float] = {}

    def prepare(self, site: Site, connection: Connection, items: Sequence[WorkItem]) -> Mapping[int, _Known]:
        """Fetch the present version of each file, and which destinations are to be left alone."""
        present = files.present_versions(connection, ((item.name, item.path) for item in items))
        pauses = {
            url: float(seconds)
            for url, seconds in connection.execute(
                text(
                    "select url, extract(epoch from retry_at - now()) from destination where retry_at > now()"
                )
            )
        }
        return {i.id: _Known(present.get((i.name, i.path)), pauses.get(i.destination, 0.0)) for i in items}

    def work(self, site: Site, item: WorkItem, known: _Known) -> _Exported:
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
        if known.version is None:
            raise FileError(f"{item.key} has no present version here", reason="no_present_version")
        there = destination_path(item.path, site.settings.export_path_map)
        try:
            outcome = self._exchange(site, item, known.version, there)
        except (DestinationDownError, requests.ConnectionError, requests.Timeout):
            self._down_until[item.destination] = time.monotonic() + _FIRST_PAUSE_S
            raise
        self._down_until.pop(item.destination, None)
        return outcome

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: _Exported) -> Committed:
        """Note that the destination is well."""
        connection.execute(
            text("update destination set failures = 0, retry_at = null, error = null "
                 "where url = :url and failures > 0"),
            {"url": item.destination},
        )  # fmt: skip
        return Committed(result.outcome, size=result.size, detail=result.detail)

    def after_failure(self, site: Site, connection: Connection, item: WorkItem, error: BaseException) -> None:
        """Leave a destination that is down alone as a whole: one probe later, not a time-out per file."""
        if not isinstance(error, DestinationDownError | requests.ConnectionError | requests.Timeout):
            return
        values = {
            "url": item.destination,
            "error": str(error)[:500],
            "first": _FIRST_PAUSE_S,
            "cap": _LONGEST_PAUSE_S,
        }
        connection.execute(
            text("""
            insert into destination as d (url, failures, retry_at, error)
            values (:url, 1, now() + make_interval(secs => :first), :error)
            on conflict (url) do update set failures = d.failures + 1, error = excluded.error,
                retry_at = now() + make_interval(secs => least(:cap, :first * 2 ^ least(d.failures, 16)))
            where d.retry_at is null or d.retry_at <= now()
            """),
            values,
        )
        # "never shorten": items that wait longer already stay as they are
        connection.execute(
            text("""
            update work_item w
            set not_before = greatest(w.not_before, d.retry_at), reason = 'destination_down'
            from destination d where d.url = :url and w.stage = 'export' and w.state = 'waiting'
              and w.destination = d.url
            """),
            values,
        )

    def _session(self, site: Site) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.headers["User-Agent"] = f"fits_dagster/{__version__}"
            session.cookies.set(UPLOAD_COOKIE, site.settings.export_cookie.get_secret_value())
            self._local.session = session
        return session

    def _exchange(self, site: Site, item: WorkItem, version: StoredVersion, there: str) -> _Exported:
        session, timeout = self._session(site), site.settings.request_timeout_seconds
        remote = ask(session, item.destination, there, version.name, timeout)
        if remote is not None:
            if remote.get("pending_ingest"):
                raise NotReady(
                    "pending_at_destination",
                    f"{item.destination} is still ingesting {version.name}",
                    delay=_PENDING_DELAY_S,
                )
            if remote["data_md5"] == version.data_md5:
                return _Exported("already_there", 0, f"{item.destination} has this content")
            done = self._send_header_update(site, item, version, there, remote["data_md5"])
            if done is not None:
                return done
        with site.store.local(item.key) as path:
            sent = send_file(session, item.destination, there, path, timeout)
        megabytes = sent.size / 1e6
        detail = f"{megabytes:.2f} MB at {megabytes / sent.seconds:.1f} MB/s to {item.destination}"
        return _Exported("exported", sent.size, detail)

    def _send_header_update(
        self, site: Site, item: WorkItem, version: StoredVersion, there: str, remote_md5: str
    ) -> _Exported | None:
        """Send header cards instead of the file where that is enough; None where it is not, or fails."""
        hint = HeaderUpdate.of_payload(item.payload)
        cookie = site.settings.export_api_cookie.get_secret_value()
        if (
            hint is None
            or not cookie
            or (remote_md5, version.data_md5) != (hint.data_md5_before, hint.data_md5_after)
            or time.monotonic() < self._no_edits_until.get(item.destination, 0.0)
        ):
            return None
        try:
            sent = send_header_update(
                self._session(site),
                item.destination,
                there,
                version.name,
                hint,
                cookie=cookie,
                timeout=site.settings.request_timeout_seconds,
            )
        except (HeaderUpdateRefusedError, requests.RequestException) as error:
            log.info("%s did not take the header edit of %s: %s", item.destination, item.key, error)
            if not isinstance(error, HeaderUpdateRefusedError) or error.for_good:
                self._no_edits_until[item.destination] = time.monotonic() + _NO_EDITS_S
            return None
        detail = f"{len(hint.cards)} header cards, {sent.size} bytes, to {item.destination}"
        return _Exported("header_exported", sent.size, detail)


STAGE = ExportStage()
