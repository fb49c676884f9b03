"""The conversation with a server that files are exported to, over HTTP.

It is asked which content it has, it is sent a file or, where only headers have changed, the cards that make
the new content of the old one; every answer must confirm exactly what was sent.
"""

from __future__ import annotations

import bz2
import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests

from fits_dagster import __version__
from fits_dagster.destinations.base import (
    AccessRefusedError,
    BadAnswerError,
    Delivered,
    Delivery,
    Destination,
    DestinationDownError,
    Holding,
    NotYetThereError,
)
from fits_dagster.destinations.holdings import holdings
from fits_dagster.fits.header_update import HeaderUpdate
from fits_dagster.fits.names import COMPRESSED_SUFFIX, LONGEST_NAME, trimmed
from fits_dagster.settings import SiteSettings

__all__ = [
    "API_COOKIE",
    "CONTENT_HEADER",
    "UPLOAD_COOKIE",
    "FitsServer",
    "HeaderUpdateRefusedError",
    "Sent",
    "ask",
    "compressed_stream",
    "send_file",
    "send_header_update",
]

#: Tells with a file the MD5 of its uncompressed data, for the log lines of the site that receives it.
CONTENT_HEADER: Final = "X-Fits-Data-MD5"
UPLOAD_COOKIE: Final = "gemini_fits_upload_auth"
API_COOKIE: Final = "gemini_api_authorization"
log = logging.getLogger(__name__)

_CHUNK: Final = 1 << 18
#: A server that does not take header edits is not asked again for so long.
_NO_EDITS_S: Final = 300.0


class HeaderUpdateRefusedError(Exception):
    """The destination did not make the new content by an edit; the whole file is to be sent.

    Attributes
    ----------
    for_good : bool
        Whether it would say the same of any other file.
    """

    def __init__(self, message: str, *, for_good: bool) -> None:
        super().__init__(message)
        self.for_good = for_good


class FitsServer(Destination):
    """A server that speaks as this one does."""

    def __init__(self, address: str, settings: SiteSettings) -> None:
        super().__init__(address, settings)
        self._local = threading.local()
        self._no_edits_until = 0.0

    def deliver(self, delivery: Delivery) -> Delivered:
        """Send what the server lacks: nothing, header cards, or the file."""
        try:
            return self._exchange(delivery)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise DestinationDownError(f"{self.address}: {error}", reason="network") from error

    def holdings(self, names: Iterable[str]) -> Mapping[str, Sequence[Holding]]:
        """Ask for the files of each night together."""
        return holdings(self.address, names, self.settings.request_timeout_seconds)

    def fetch(self, key: str, target: Path) -> str:
        """Download a file as it is stored there."""
        digest = hashlib.md5(usedforsecurity=False)
        url, timeout = f"{self.address.rstrip('/')}/file/{quote(key)}", self.settings.request_timeout_seconds
        try:
            with self._session().get(url, timeout=timeout, stream=True, allow_redirects=False) as response:
                if response.status_code != 200:
                    raise DestinationDownError(f"{url}: status {response.status_code}")
                with target.open("xb") as writer:
                    for chunk in response.iter_content(_CHUNK):
                        digest.update(chunk)
                        writer.write(chunk)
        except requests.RequestException as error:
            raise DestinationDownError(f"{url}: {error}", reason="network") from error
        return digest.hexdigest()

    def check(self) -> None:
        """Ask the server how it is."""
        url = f"{self.address.rstrip('/')}/health"
        try:
            status = self._session().get(url, timeout=self.settings.request_timeout_seconds).status_code
        except requests.RequestException as error:
            raise DestinationDownError(f"{url}: {error}", reason="network") from error
        if status >= 500:
            raise DestinationDownError(f"{url}: status {status}")

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.headers["User-Agent"] = f"fits_dagster/{__version__}"
            token = self.settings.export_token.get_secret_value()
            if token:
                session.auth = _Bearer(token)
            else:
                session.cookies.set(UPLOAD_COOKIE, self.settings.export_cookie.get_secret_value())
            self._local.session = session
        return session

    def _exchange(self, delivery: Delivery) -> Delivered:
        session, timeout = self._session(), self.settings.request_timeout_seconds
        remote = ask(session, self.address, delivery.path, delivery.name, timeout)
        if remote is not None:
            if remote.get("pending_ingest"):
                raise NotYetThereError(f"{self.address} is still ingesting {delivery.name}")
            if remote["data_md5"] == delivery.data_md5:
                return Delivered("already_there", 0, f"{self.address} has this content")
            done = self._send_header_update(delivery, remote["data_md5"])
            if done is not None:
                return done
        with delivery.local() as path:
            sent = send_file(session, self.address, delivery.path, path, timeout, content=delivery.data_md5)
        megabytes = sent.size / 1e6
        detail = f"{megabytes:.2f} MB at {megabytes / sent.seconds:.1f} MB/s to {self.address}"
        return Delivered("exported", sent.size, detail)

    def _send_header_update(self, delivery: Delivery, remote_md5: str) -> Delivered | None:
        """Send header cards instead of the file where that is enough; None where it is not, or fails."""
        hint = delivery.header_update
        cookie = self.settings.export_api_cookie.get_secret_value()
        token = self.settings.export_edit_token.get_secret_value()
        if (
            hint is None
            or not (cookie or token)
            or (remote_md5, delivery.data_md5) != (hint.data_md5_before, hint.data_md5_after)
            or time.monotonic() < self._no_edits_until
        ):
            return None
        try:
            sent = send_header_update(
                self._session(),
                self.address,
                delivery.path,
                delivery.name,
                hint,
                cookie=cookie,
                token=token,
                timeout=(self.settings.request_timeout_seconds, self.settings.edit_timeout_seconds),
            )
        except (HeaderUpdateRefusedError, requests.RequestException) as error:
            log.info("%s did not take the header edit of %s: %s", self.address, delivery.name, error)
            if not isinstance(error, HeaderUpdateRefusedError) or error.for_good:
                self._no_edits_until = time.monotonic() + _NO_EDITS_S
            return None
        detail = f"{len(hint.cards)} header cards, {sent.size} bytes, to {self.address}"
        return Delivered("header_exported", sent.size, detail)


class _Bearer(requests.auth.AuthBase):
    """Sends a token, if there is one; and nothing that a ``.netrc`` names."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@dataclass
class Sent:
    """Size and MD5 of the compressed bytes, summed up while they stream."""

    size: int = 0
    md5: str = ""
    #: Wall clock time of the request.
    seconds: float = 0.0


def name_there(name: str) -> str:
    """Return the name under which a file is sent: compressed, unless that made the name too long."""
    compressed = name if name.endswith(COMPRESSED_SUFFIX) else f"{name}{COMPRESSED_SUFFIX}"
    return compressed if len(compressed.encode()) <= LONGEST_NAME else name


def compressed_stream(path: Path, sent: Sent) -> Iterator[bytes]:
    """Yield a file's bytes compressed with bzip2 (as they are, if they already are or must stay so)."""
    digest = hashlib.md5(usedforsecurity=False)
    compressor = None if name_there(path.name) == path.name else bz2.BZ2Compressor()
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


def ask(
    session: requests.Session, url: str, path: str, name: str, timeout: float
) -> Mapping[str, Any] | None:
    """Ask a destination which version of a file it has; None when it has none.

    Raises
    ------
    DestinationDownError
        It answers with a server error.
    BadAnswerError
        The answer is not one object with a ``data_md5``.
    """
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


def send_file(
    session: requests.Session, url: str, path: str, source: Path, timeout: float, *, content: str = ""
) -> Sent:
    """Stream a file to a destination and verify its answer.

    Parameters
    ----------
    content
        MD5 of the uncompressed data, for the log lines of the other site.

    Raises
    ------
    DestinationDownError
        It answers with a server error, or refuses this site's token or cookie.
    BadAnswerError
        It does not confirm name, size and MD5 of what was sent.
    """
    name = name_there(source.name)
    target = "/".join([url.rstrip("/"), "upload_file", *([quote(path)] if path else []), quote(name)])
    sent = Sent()
    began = time.monotonic()
    response = session.post(
        target,
        data=compressed_stream(source, sent),
        timeout=timeout,
        headers={
            "Content-Type": "application/octet-stream",
            **({CONTENT_HEADER: content} if content else {}),
        },
        allow_redirects=False,
    )
    if response.status_code in (401, 403):
        raise AccessRefusedError(f"{target}: status {response.status_code}: is the token, or cookie, right?")
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
    sent.seconds = max(time.monotonic() - began, 1e-6)
    return sent


def send_header_update(
    session: requests.Session,
    url: str,
    path: str,
    name: str,
    hint: HeaderUpdate,
    *,
    cookie: str = "",
    token: str = "",
    timeout: tuple[float, float],
) -> Sent:
    """Let a destination make the new content of a file from the one it has, and verify its answer.

    Parameters
    ----------
    timeout
        Seconds until it is connected, and of silence until it answers.

    Raises
    ------
    HeaderUpdateRefusedError
        It did not, or does not confirm that the content is now the new one.
    requests.RequestException
        It does not answer.
    """
    item = {
        "filename": name,
        "values": {"generic": [list(card) for card in hint.cards]},
        "reject_new": False,
        "path": path,
        "md5_before": hint.data_md5_before,
        "md5_after": hint.data_md5_after,
    }
    body = json.dumps({"request": [item], "batch": False}).encode()
    began = time.monotonic()
    response = session.post(
        f"{url.rstrip('/')}/update_headers",
        data=body,
        cookies={} if token else {API_COOKIE: cookie},
        # without one of its own it must not go with the token for uploads
        auth=_Bearer(token),
        timeout=timeout,
        headers={"Content-Type": "application/json"},
        allow_redirects=False,
    )
    _confirm(response, name, hint.data_md5_after)
    return Sent(len(body), hashlib.md5(body, usedforsecurity=False).hexdigest(), time.monotonic() - began)


def _confirm(response: requests.Response, name: str, md5: str) -> None:
    """Make sure that the answer to an edit names the file and its new content."""
    if response.status_code != 200:
        raise HeaderUpdateRefusedError(f"status {response.status_code}", for_good=True)
    try:
        [answer] = response.json()
        refused = answer.get("result") is False
    except (ValueError, TypeError, AttributeError) as error:
        raise HeaderUpdateRefusedError(f"unreadable answer {response.text[:100]!r}", for_good=True) from error
    if refused:
        raise HeaderUpdateRefusedError(str(answer.get("error"))[:500], for_good=False)
    if trimmed(str(answer.get("id"))) != name or answer.get("md5") != md5:
        raise HeaderUpdateRefusedError(f"the answer does not confirm it: {answer!r:.200}", for_good=True)
