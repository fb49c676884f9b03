"""Export: from the dataflow directory to another server, over HTTP, verified at both ends.

The destination is asked first which content it has (the MD5 of the uncompressed data); the same content is
not sent again. Data travel bzip2-compressed, compressed while they stream; the destination's answer must
name the size and MD5 of exactly what was sent, or nothing counts as done.
"""

from __future__ import annotations

import bz2
import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests
from sqlalchemy import Connection, text

from fits_dagster import __version__
from fits_dagster.database import files
from fits_dagster.database.files import StoredVersion
from fits_dagster.database.work import WorkItem
from fits_dagster.dataflow.site import Site
from fits_dagster.dataflow.stage import Committed, NotReady, Stage
from fits_dagster.errors import FileError, TransientError

__all__ = ["STAGE", "UPLOAD_COOKIE", "ExportStage", "compressed_stream", "destination_path"]

UPLOAD_COOKIE: Final = "gemini_fits_upload_auth"
_DATE: Final = r"20\d\d[01]\d[0123]\d"
_CHUNK: Final = 1 << 18
_PENDING_DELAY_S: Final = 10.0
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0


class DestinationDownError(TransientError):
    """The destination does not answer, or answers with a server error."""

    reason = "destination_down"


class BadAnswerError(TransientError):
    """The destination's answer does not confirm what was sent."""

    reason = "bad_answer"


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


@dataclass
class _Sent:
    """Size and MD5 of the compressed bytes, summed up while they stream."""

    size: int = 0
    md5: str = ""


def compressed_stream(path: Path, sent: _Sent) -> Iterator[bytes]:
    """Yield a file's bytes compressed with bzip2 (as they are, if the name says they already are)."""
    digest = hashlib.md5(usedforsecurity=False)
    compressor = None if path.name.endswith(".bz2") else bz2.BZ2Compressor()
    with path.open("rb", buffering=0) as source:
        while chunk := source.read(_CHUNK):
            if compressor is not None:
                chunk = compressor.compress(chunk)
            if chunk:
                digest.update(chunk)
                sent.size += len(chunk)
                yield chunk
    if compressor is not None:
        chunk = compressor.flush()
        digest.update(chunk)
        sent.size += len(chunk)
        yield chunk
    sent.md5 = digest.hexdigest()


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

    def __init__(self) -> None:
        self._local = threading.local()
        self._down_until: dict[str, float] = {}

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
        remote = _ask(session, item.destination, there, version.name, timeout)
        if remote is not None:
            if remote.get("pending_ingest"):
                raise NotReady(
                    "pending_at_destination",
                    f"{item.destination} is still ingesting {version.name}",
                    delay=_PENDING_DELAY_S,
                )
            if remote["data_md5"] == version.data_md5:
                return _Exported("already_there", 0, f"{item.destination} has this content")
        with site.store.local(item.key) as path:
            return _send(session, item.destination, there, path, timeout)


def _ask(
    session: requests.Session, url: str, path: str, name: str, timeout: float
) -> Mapping[str, Any] | None:
    """Ask a destination which version of a file it has; None when it has none."""
    query = (
        f"{url.rstrip('/')}/jsonfilelist/present/path={quote(path.replace('/', '=slash='), safe='=')}"
        f"/filename={quote(name)}"
    )
    response = session.get(query, timeout=timeout, allow_redirects=False)
    if response.status_code >= 500:
        raise DestinationDownError(f"{query}: status {response.status_code}")
    if response.status_code != 200:
        raise BadAnswerError(f"{query}: status {response.status_code}")
    try:
        answer = response.json()
    except ValueError as error:
        raise BadAnswerError(f"{query}: the answer is not JSON: {response.text[:100]!r}") from error
    if not isinstance(answer, list) or not all(isinstance(entry, dict) for entry in answer):
        raise BadAnswerError(f"{query}: the answer is not a list of objects")
    if not answer:
        return None
    if len(answer) > 1:
        raise BadAnswerError(f"{query}: {len(answer)} present versions", reason="ambiguous_at_destination")
    entry: Mapping[str, Any] = answer[0]
    if not isinstance(entry.get("data_md5"), str):
        raise BadAnswerError(f"{query}: the answer has no data_md5")
    return entry


def _send(session: requests.Session, url: str, path: str, source: Path, timeout: float) -> _Exported:
    """Stream a file to a destination and verify its answer."""
    name = source.name if source.name.endswith(".bz2") else f"{source.name}.bz2"
    target = "/".join([url.rstrip("/"), "upload_file", *([quote(path)] if path else []), quote(name)])
    sent = _Sent()
    began = time.monotonic()
    response = session.post(
        target,
        data=compressed_stream(source, sent),
        timeout=timeout,
        headers={"Content-Type": "application/octet-stream"},
        allow_redirects=False,
    )
    if response.status_code in (401, 403):
        raise BadAnswerError(
            f"{target}: status {response.status_code}: is the upload cookie right?", reason="refused"
        )
    if response.status_code >= 500:
        raise DestinationDownError(f"{target}: status {response.status_code}")
    if response.status_code != 200:
        raise BadAnswerError(f"{target}: status {response.status_code}: {response.text[:100]!r}")
    try:
        first = response.json()[0]
        said = (first["filename"], first["size"], first["md5"])
    except (ValueError, LookupError, TypeError) as error:
        raise BadAnswerError(f"{target}: unreadable answer {response.text[:100]!r}") from error
    if said != (name, sent.size, sent.md5):
        raise BadAnswerError(
            f"{target}: sent {(name, sent.size, sent.md5)}, the answer says {said}",
            reason="verification_mismatch",
        )
    seconds = max(time.monotonic() - began, 1e-6)
    detail = f"{sent.size / 1e6:.2f} MB at {sent.size / 1e6 / seconds:.1f} MB/s to {url}"
    return _Exported("exported", sent.size, detail)


STAGE = ExportStage()
