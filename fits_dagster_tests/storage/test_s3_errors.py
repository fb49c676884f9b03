"""Errors of S3 are told apart by what the service said, over real sockets: what passes, and what stays."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import HTTPClientError

from fits_dagster.errors import Retry, describe_error
from fits_dagster.settings import S3Settings
from fits_dagster.storage import S3Store
from fits_dagster.storage.s3_errors import classify_error


@dataclass
class Service:
    """An S3 service that answers every request in one way."""

    url: str = ""
    status: int = 200
    code: str = ""
    #: Instead of an answer: ``close``, ``silence``, ``garbage``, ``half``.
    deed: str = ""
    #: Access key with which everything is granted.
    granted: str = ""
    requests: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


def handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            service.requests.append(self.command)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.close_connection = True
            if service.granted and f"Credential={service.granted}/" in self.headers["Authorization"]:
                self.send(200, b"<ListBucketResult></ListBucketResult>")
            elif service.deed == "silence":
                service.ended.wait(20)
            elif service.deed == "garbage":
                self.wfile.write(b"220 mail.example.org ESMTP\r\n\r\n")
            elif service.deed == "html":
                self.send(200, b"<html><body>Please sign in to the network</body>")
            elif service.deed == "half":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.send_header("Last-Modified", "Wed, 01 Oct 2025 00:00:00 GMT")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"x" * 10)
            elif service.deed != "close":
                told = f"<Error><Code>{service.code}</Code><Message>told</Message></Error>"
                self.send(service.status, told.encode())

        def send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = answer

        def log_message(self, *_: object) -> None:
            return

    return Handler


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    made = Service()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.ended.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


def store_at(url: str, directory: Path, *, silence_s: float = 10.0) -> S3Store:
    return S3Store(
        S3Settings(bucket="frames", endpoint_url=url, max_attempts=1, silence_seconds=silence_s), directory
    )


def put(store: S3Store) -> None:
    source = store.staging / "x.fits"
    source.write_bytes(b"content")
    store.put(source, "x.fits", md5=hashlib.md5(b"content").hexdigest())


def fetch(store: S3Store) -> None:
    with store.local("x.fits"):
        pass


ACTIONS: dict[str, Callable[[S3Store], object]] = {
    "put": put,
    "stat": lambda store: store.stat("x.fits"),
    "fetch": fetch,
    "list": lambda store: list(store.objects()),
    "delete": lambda store: store.delete("x.fits"),
}


def told(store: S3Store, action: str) -> tuple[str, Retry, str]:
    with pytest.raises(Exception) as caught:
        ACTIONS[action](store)
    reason, retry, line, _ = describe_error(caught.value)
    return reason, retry, line


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        # what passes
        (500, "InternalError", "s3_unavailable"),
        (503, "SlowDown", "s3_unavailable"),
        (503, "ServiceUnavailable", "s3_unavailable"),
        (429, "TooManyRequests", "s3_unavailable"),
        (400, "RequestTimeout", "s3_unavailable"),
        (400, "ExpiredToken", "s3_credentials"),
        (403, "RequestTimeTooSkewed", "s3_clock"),
        (400, "BadDigest", "checksum_mismatch"),
        (418, "Teapot", "s3_unknown"),
        # what stays until somebody changes the set-up
        (403, "AccessDenied", "s3_refused"),
        (403, "InvalidAccessKeyId", "s3_refused"),
        (403, "SignatureDoesNotMatch", "s3_refused"),
        (404, "NoSuchBucket", "s3_refused"),
        (301, "PermanentRedirect", "s3_refused"),
        (400, "AuthorizationHeaderMalformed", "s3_refused"),
    ],
)
def test_what_the_service_says_decides(
    service: Service, tmp_path: Path, action: str, status: int, code: str, reason: str
) -> None:
    service.status, service.code = status, code
    found, retry, line = told(store_at(service.url, tmp_path), action)
    if status in (418, 503, 500, 429) and action in ("stat", "fetch"):
        # nothing is said with the answer to HEAD; its status is enough
        assert found in (reason, "s3_unknown")
    else:
        assert found == reason
    assert retry is (Retry.NEVER if found == "s3_refused" else Retry.BACKOFF)
    if reason == "s3_refused":
        assert any(word in line for word in ("set ", "allow ")), "the remedy is named"


def test_a_circle_of_redirections_is_seen_wherever_it_ends() -> None:
    def redirected() -> None:
        try:
            redirected()
        except RecursionError as end:
            raise HTTPClientError(error=end)  # noqa: B904 - as the library does

    with pytest.raises(HTTPClientError) as caught:
        redirected()
    found = classify_error(caught.value, "head of x.fits")
    assert (found.reason, found.retry) == ("s3_refused", Retry.NEVER)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("deed", ["close", "silence", "garbage", "html", "half"])
def test_an_answer_that_is_none_is_worth_another_attempt(
    service: Service, tmp_path: Path, action: str, deed: str
) -> None:
    service.deed = deed
    store = store_at(service.url, tmp_path, silence_s=0.3 if deed == "silence" else 10.0)
    if (deed, action) == ("half", "stat"):
        assert ACTIONS[action](store) is not None  # a head has no body to be cut
        return
    reason, retry, _ = told(store, action)
    assert retry is Retry.BACKOFF
    assert reason in ("s3_unavailable", "s3_unknown", "checksum_mismatch")


def test_a_port_where_nobody_listens_is_worth_another_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    for action in ACTIONS:
        assert told(store_at(url, tmp_path), action)[:2] == ("s3_unavailable", Retry.BACKOFF)


def test_no_credentials_are_told_as_such(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers credentials
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert told(store_at(service.url, tmp_path), "put")[0] == "s3_credentials"
    assert service.requests == []


@pytest.mark.parametrize(
    ("status", "code"), [(400, "ExpiredToken"), (403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch")]
)
def test_credentials_that_were_renewed_are_used_by_a_process_that_lives_on(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    service.status, service.code, service.granted = status, code, "renewed"
    store = store_at(service.url, tmp_path)
    told(store, "list")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")
    assert list(store.objects()) == []


def test_an_object_that_is_missing_is_none(service: Service, tmp_path: Path) -> None:
    service.status, service.code = 404, "NoSuchKey"
    store = store_at(service.url, tmp_path)
    store._seen_buckets.add("frames")
    assert store.stat("x.fits") is None
    with pytest.raises(FileNotFoundError):
        fetch(store)
